package browser_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"yitong/gateway/audit/proof"
	"yitong/gateway/audit/proof/page"
	"yitong/gateway/audit/proof/prooftest"
	"yitong/test/browser"
)

const vectors = "../../gateway/audit/proof/testdata"

// written is the page, made from this source.
func written(t *testing.T) string {
	t.Helper()
	root, err := page.Source(".")
	if err != nil {
		t.Fatal(err)
	}
	checker, err := page.Compile(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := page.Write(&b, checker); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "verify.html")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// wire notes every address that the page asks for.
type wire struct {
	mu    sync.Mutex
	asked []string
}

func (w *wire) listen(t *testing.T, ctx context.Context) {
	err := chromedp.Listen(ctx, func(e any) {
		if r, ok := e.(*network.EventRequestWillBeSent); ok {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.asked = append(w.asked, r.Request.URL)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// judged gives the page a digest and a file, and returns what it found.
func judged(t *testing.T, ctx context.Context, genesis, file string) (v proof.Verdict) {
	t.Helper()
	err := chromedp.Do(ctx,
		chromedp.Evaluate[chromedp.Void](`document.body.dataset.state = "idle"`),
		chromedp.SetValue("#genesis", genesis),
		chromedp.SetUploadFiles("#file", []string{file}), // tells the page
		chromedp.WaitReady(`body[data-state="done"]`),
	)
	if err != nil {
		said, _ := chromedp.Run(ctx, chromedp.Text("#status"))
		t.Fatalf("the page said %q: %v", said, err)
	}
	verdict, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.getElementById("verdict").dataset.verdict`))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(verdict), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// A person opens the page from a disk and hands in the vectors of docs/formats/proof.md. It
// finds what the command finds, word by word, and asks no address for anything.
func TestThePageFindsWhatTheCommandFinds(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the check for the browser and runs one")
	}
	ctx := browser.Start(t)
	var w wire
	w.listen(t, ctx)
	html := written(t)
	if err := chromedp.Do(ctx, chromedp.Navigate(browser.File(t, html)+"#en"), chromedp.WaitReady(`body[data-state]`)); err != nil {
		t.Fatal(err)
	}
	base, all, err := prooftest.Read(vectors)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		t.Run(one.Name, func(t *testing.T) {
			file, raw := filepath.Join(t.TempDir(), "a.proof"), one.File(base)
			if err := os.WriteFile(file, raw, 0o600); err != nil {
				t.Fatal(err)
			}
			digest, err := hex.DecodeString(one.Genesis)
			if err != nil {
				t.Fatal(err)
			}
			want := proof.Judge(bytes.NewReader(raw), [32]byte(digest))
			got := judged(t, ctx, one.Genesis, file)
			if diff := cmp.Diff(asJSON(t, want), asJSON(t, got)); diff != "" {
				t.Errorf("the page finds otherwise (-command +page):\n%s", diff)
			}
			if one.Name == all[0].Name || one.Check == "orderer-signature" {
				browser.Shot(t, ctx, "proof-"+string(one.Check))
			}
			text, err := chromedp.Run(ctx, chromedp.Text("#verdict"))
			if err != nil {
				t.Fatal(err)
			}
			if holds := strings.Contains(text, "The proof holds."); holds != want.Holds || holds == strings.Contains(text, "does not hold") {
				t.Errorf("holds: %v, and a person reads:\n%s", want.Holds, text)
			}
		})
	}
	t.Run("a file that is dropped on it", func(t *testing.T) {
		_, err := chromedp.Run(ctx, chromedp.Evaluate[chromedp.Void](`{
			document.body.dataset.state = "idle";
			const moved = new DataTransfer();
			moved.items.add(new File(["no proof"], "a.txt"));
			document.getElementById("drop").dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: moved }));
		}`))
		if err != nil {
			t.Fatal(err)
		}
		if err := chromedp.Do(ctx, chromedp.WaitReady(`body[data-state="done"]`)); err != nil {
			t.Fatal(err)
		}
		if text, err := chromedp.Run(ctx, chromedp.Text("#verdict")); err != nil || !strings.Contains(text, "not a whole proof") {
			t.Errorf("a person reads %q, %v", text, err)
		}
	})
	t.Run("a script that would send something", func(t *testing.T) {
		// Nothing listens there; and the policy must forbid it before it is tried.
		forbidden, err := chromedp.Run(ctx, chromedp.Evaluate[string](`new Promise((resolve) => {
			document.addEventListener("securitypolicyviolation", (e) => resolve(e.effectiveDirective));
			fetch("http://127.0.0.1:1/").catch(() => setTimeout(() => resolve("nothing"), 1000));
		})`, chromedp.EvalAwaitPromise))
		if err != nil || forbidden != "connect-src" {
			t.Errorf("the policy forbids %q, %v", forbidden, err)
		}
	})
	t.Run("in Chinese", func(t *testing.T) {
		if err := chromedp.Do(ctx, chromedp.Click(`button[data-language="zh"]`)); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(vectors, "receipt.proof")
		whole, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		if v := judged(t, ctx, all[0].Genesis, whole); !v.Holds {
			t.Fatal(v.Finding)
		}
		text, err := chromedp.Run(ctx, chromedp.Text("body"))
		if err != nil || !strings.Contains(text, "证明成立") || !strings.Contains(text, "断网也能使用") {
			t.Errorf("a person reads, %v:\n%s", err, text)
		}
		browser.Shot(t, ctx, "proof-zh")
	})
	for _, url := range w.asked {
		if !strings.HasPrefix(url, "file:///") && url != "http://127.0.0.1:1/" && !strings.HasPrefix(url, "blob:") {
			t.Errorf("the page asked for %s", url)
		}
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
