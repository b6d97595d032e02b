package node

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"

	"google.golang.org/grpc"

	"yitong/gateway/api"
	"yitong/gateway/fhir"
	"yitong/gateway/keys"
)

// Where the façade's secret lies in the key store.
const (
	fhirBucket = "fhir"
	fhirSecret = "secret"
)

// mountFHIR serves the FHIR façade on the HTTPS door.
func mountFHIR(config Config, store *keys.Store, version string, log *slog.Logger) (api.Mount, error) {
	secret, err := store.Get(fhirBucket, fhirSecret)
	if errors.Is(err, keys.ErrNotFound) {
		secret = make([]byte, 32)
		rand.Read(secret)
		err = store.Put(fhirBucket, fhirSecret, secret)
	}
	if err != nil {
		return api.Mount{}, err
	}
	c := fhir.Config{Member: config.Member.Name, Kind: string(config.Member.Kind), Channel: config.Channel, Version: version, Secret: secret, Log: log}
	return api.Mount{
		Path:    fhir.Base + "/",
		New:     func(conn grpc.ClientConnInterface) http.Handler { return fhir.New(c, conn) },
		Problem: fhir.Problem, Public: fhir.Public, Streams: fhir.Streams,
	}, nil
}
