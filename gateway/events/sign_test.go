package events

import (
	"encoding/base64"
	"testing"
	"time"
)

// The example of Standard Webhooks' own libraries.
func TestTheSpecificationsExampleIsSignedAsItSays(t *testing.T) {
	key, err := base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1614265330, 0)
	const id, body, want = "msg_p5jXN8AQM9LWM0D4loKWxJek", `{"test": 2432232314}`, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	if got := (secret{Present: key}).sign(id, at, []byte(body)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := (secret{Present: key}).sign(id, at.Add(time.Second), []byte(body)); got == want {
		t.Error("the time isn't signed")
	}
}
