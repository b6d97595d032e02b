// Package chaincode names the rules that the packages below it are.
//
// Members agree on a version of the chaincode, and every transaction is endorsed under one.
// Whoever recomputes a decision years later has to know which rules decided: so the version
// isn't chosen but follows from the rules' source. A changed rule has another version, whether
// or not its author thought of it; a changed comment or test hasn't.
package chaincode

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"go/scanner"
	"go/token"
	"hash"
	"io/fs"
	"slices"
	"strings"
	"sync"
)

//go:embed */*.go record/vocabulary/*.go
var source embed.FS

// besides are the folders whose code decides nothing.
var besides = []string{"ledgertest"}

// earlier are versions whose every transaction comes out byte for byte the same by these
// rules, so that chains under them can be replayed. "test" is that of the chains that tests
// make, and of the vectors in docs/formats.
var earlier = []string{"test"}

// Version names the rules: r and 16 hexadecimal digits of SHA-256 over their source without
// comments and layout. It is of Fabric's form for a chaincode's version.
var Version = sync.OnceValue(func() string {
	sum := sha256.New()
	if err := fs.WalkDir(source, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") {
			return err
		}
		if folder, _, _ := strings.Cut(path, "/"); slices.Contains(besides, folder) {
			return nil
		}
		raw, err := source.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(sum, "%q\n", path)
		tokens(sum, raw)
		return nil
	}); err != nil {
		panic(err) // what is embedded can be read
	}
	return "r" + hex.EncodeToString(sum.Sum(nil))[:16]
})

// Known says whether this program's rules are those of a version.
func Known(version string) bool { return version == Version() || slices.Contains(earlier, version) }

// tokens adds a source file's tokens to a hash: comments and layout are none.
func tokens(sum hash.Hash, raw []byte) {
	var s scanner.Scanner
	files := token.NewFileSet()
	s.Init(files.AddFile("", files.Base(), len(raw)), raw, nil, 0)
	for {
		_, kind, text := s.Scan()
		if kind == token.EOF {
			return
		}
		if kind == token.SEMICOLON {
			text = ";" // written, or the end of a line
		}
		fmt.Fprintf(sum, "%d %q\n", kind, text)
	}
}
