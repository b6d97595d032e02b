package projection_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"yitong/gateway/audit/projection/projectiontest"
	"yitong/gateway/database/databasetest"
)

// PostgreSQL and SQLite hold the same: one digest, whatever came how.
func TestPostgreSQLHoldsWhatSQLiteHolds(t *testing.T) {
	d := open(t, databasetest.Postgres(t))
	blocks, strange := projectiontest.Blocks(21, 2000), hostile(t)
	for name, chain := range map[string]projectiontest.Chain{"a realistic history": blocks, "hostile transactions": strange} {
		if err := d.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		for chunk := range slices.Chunk(chain, 50) {
			for _, b := range chunk {
				apply(t, d, b)
			}
		}
		t.Log(name)
		same(t, digest(t, d), straight(t, chain))
		if rebuilt, err := d.Rebuild(t.Context(), chain, t.TempDir(), func(uint64, uint64) {}); err != nil || !rebuilt.Same() {
			t.Errorf("%s, rebuilt in SQLite: same %v, %v", name, rebuilt.Same(), err)
		}
	}
}

// The two schemas are one schema in two dialects.
func TestTheSchemasCorrespond(t *testing.T) {
	files, err := filepath.Glob("migrations/sqlite/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal("there are no migrations")
	}
	for _, path := range files {
		lite, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		post, err := fs.ReadFile(os.DirFS("migrations/postgres"), filepath.Base(path))
		if err != nil {
			t.Fatal(err)
		}
		want := regexp.MustCompile(`\bINTEGER\b`).ReplaceAll(lite, []byte("BIGINT"))
		want = regexp.MustCompile(`\bBLOB\b`).ReplaceAll(want, []byte("BYTEA"))
		want = regexp.MustCompile(` TEXT\b`).ReplaceAll(want, []byte(` TEXT COLLATE "C"`))
		if !bytes.Equal(post, want) {
			t.Errorf("%s says something else for PostgreSQL", filepath.Base(path))
		}
	}
}
