// Package browser opens what the project shows people in a real browser: the page that
// checks proofs, and the printable reports. It starts a headless Chromium of its own for
// each test and ends it afterwards.
//
// Where there is no Chromium the test is skipped and says so; with YITONG_BROWSER=required,
// which .ci/run sets after it has installed one, it fails instead.
package browser

import (
	"context"
	"flag"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// limit bounds a test's whole use of a browser, so that one that hangs fails and is told.
const limit = 5 * time.Minute

// Start starts a browser with one tab. The context is what chromedp's actions run in; it ends
// with the test. The extra options are the browser's, for what a test needs besides.
func Start(t testing.TB, extra ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	program := find()
	if program == "" {
		if os.Getenv("YITONG_BROWSER") == "required" {
			t.Fatal("there is no Chromium on this machine, and YITONG_BROWSER=required: install one (apt-get install chromium)")
		}
		t.Skip("there is no Chromium on this machine: install one (apt-get install chromium) to run this test")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1100, 1400),
		chromedp.Flag("lang", "en"), chromedp.Flag("disable-dev-shm-usage", true))
	options = append(options, extra...)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium's sandbox refuses root
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), limit)
	t.Cleanup(cancel)
	allocator, end := chromedp.NewExecAllocator(bounded, options...)
	t.Cleanup(end)
	ctx, closeTab := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits for the processes
		closeTab()
	})
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("starting %s: %v", program, err)
	}
	return ctx
}

// find is a Chromium's path, or nothing.
func find() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "headless-shell"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

var shots = flag.String("shots", "", "directory for pictures of what the tests see")

// Shot keeps a picture of the whole page, for a person to look at, with -shots DIR.
func Shot(t testing.TB, ctx context.Context, name string) {
	t.Helper()
	if *shots == "" {
		return
	}
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(*shots, name+".png"), picture, 0o600)
	}
	if err != nil {
		t.Error(err)
	}
}

// File is the address of a file on the disk.
func File(t testing.TB, path string) string {
	t.Helper()
	whole, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(whole)}).String()
}

// Print makes a PDF of the page as a person would print it, on the paper that the page asks
// for, and returns it. With -shots DIR it is kept.
func Print(t testing.TB, ctx context.Context, name string) []byte {
	t.Helper()
	pdf, err := chromedp.Run(ctx, chromedp.PrintToPDF(chromedp.PDFPreferCSSPageSize(), chromedp.PDFPrintBackground()))
	if err != nil {
		t.Fatalf("printing: %v", err)
	}
	if *shots != "" {
		if err := os.WriteFile(filepath.Join(*shots, name+".pdf"), pdf, 0o600); err != nil {
			t.Error(err)
		}
	}
	return pdf
}
