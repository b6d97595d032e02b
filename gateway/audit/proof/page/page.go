// Package page makes the check of a proof into one HTML file, for somebody who has a browser
// and nothing of Yitong's: choose the proof, type the digest of the consortium's first block,
// read what holds. It runs the very code of `yitong audit verify`, compiled to WebAssembly.
//
//	source ─▶ go build (js/wasm) ─▶ Write ─▶ verify.html
//	                                          file ─▶ worker ─▶ verdict
//
// The file opens from a disk, without any server. Nothing leaves the machine it is opened on:
// its Content-Security-Policy allows no connection at all (default-src 'none'), and names
// each of its scripts by digest.
//
// Why should a reader believe the page? Because anybody can make it again: the build leaves
// out whatever depends on the machine, so the same source and Go release give the same bytes,
// and `yitong audit page` prints their digest.
package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/template"
)

//go:embed page.html.tmpl
var html string

//go:embed page.css
var css string

//go:embed page.js
var script string

//go:embed words.js
var words string

//go:embed worker.js
var worker string

// The template's parts are all ours, so it needs no escaping; and the policy's digests are
// those of the exact bytes between the tags.
var pageTemplate = template.Must(template.New("page").Parse(html))

// Checker is the program that a page runs.
type Checker struct {
	Module  []byte // WebAssembly
	Support []byte // wasm_exec.js of the Go release that compiled it
	Go      string // that release, e.g. go1.26.0
}

// Write makes the page. Errors: a part that would end its own script tag; those of w.
func Write(w io.Writer, c Checker) error {
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(c.Module); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	main := words + script
	engine := string(c.Support) + "\n" + worker
	for _, part := range []string{main, engine} {
		if strings.Contains(strings.ToLower(part), "</script") {
			return errors.New("a script of the page holds its own end")
		}
	}
	return pageTemplate.Execute(w, map[string]string{
		"Policy": fmt.Sprintf("default-src 'none'; script-src '%s' 'wasm-unsafe-eval'; worker-src blob:; style-src '%s'; img-src data:; base-uri 'none'; form-action 'none'", digest(main), digest(css)),
		"Style":  css, "Script": main, "Engine": engine,
		"Module": base64.StdEncoding.EncodeToString(packed.Bytes()),
		"Digest": fmt.Sprintf("%x", sha256.Sum256(c.Module)), "Go": c.Go,
	})
}

// digest is a source expression of a Content-Security-Policy (W3C CSP3, 2.3.1).
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}
