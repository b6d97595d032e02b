package database

import (
	"errors"
	"path/filepath"
	"strings"
)

const scheme = "sqlite:"

// Check says whether a URL names a database.
func Check(at string) error {
	switch {
	case at == scheme:
		return errors.New("sqlite: names no file")
	case File(at) != "", strings.HasPrefix(at, "postgres://"), strings.HasPrefix(at, "postgresql://"):
		return nil
	}
	return errors.New("a database is named by sqlite:PATH or postgres://…")
}

// File is the path of the file that a URL names, empty where it names none.
func File(at string) string {
	path, isFile := strings.CutPrefix(at, scheme)
	if !isFile {
		return ""
	}
	return path
}

// Resolve takes a relative path in a URL from a folder. An empty URL is the file at byDefault.
func Resolve(at, folder, byDefault string) string {
	if at == "" {
		return scheme + byDefault
	}
	if path := File(at); path != "" && !filepath.IsAbs(path) {
		return scheme + filepath.Join(folder, path)
	}
	return at
}
