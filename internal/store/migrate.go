package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
)

// Migrations is the schema of one capability: files NNNN_what.sql, applied once
// each in the order of their numbers, in the folders sqlite and postgres of FS
// or of its one folder. Without these folders they are SQLite's.
// They only add, so that the program before can still run on the database; a
// file that was released never changes.
type Migrations struct {
	Owner string
	FS    fs.FS
}

// migration is one file.
type migration struct {
	version      int
	name, script string
	digest       string
}

var migrationName = regexp.MustCompile(`^(\d{4})_[a-z0-9_]+\.sql$`)

const createMigrations = `CREATE TABLE IF NOT EXISTS kiwerk_migrations(
	owner TEXT NOT NULL, version BIGINT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL,
	PRIMARY KEY(owner, version))`

// migrationLock makes several programs that start on one PostgreSQL change the schema one after the other.
const migrationLock = 0x6b697765726b

// Migrate applies what is missing, all of it or nothing: one transaction, so
// that a new database waits for the disk once.
func (s *Store) Migrate(ctx context.Context, owners ...Migrations) error {
	s.schema.Lock()
	defer s.schema.Unlock()
	if len(owners) == 0 {
		return nil
	}
	lists := make([][]migration, len(owners))
	for i, m := range owners {
		var err error
		if lists[i], err = m.read(s.Dialect()); err != nil {
			return err
		}
	}
	return s.Update(ctx, func(t *Tx) error {
		for i, m := range owners {
			if err := apply(t, m.Owner, lists[i]); err != nil {
				return fmt.Errorf("schema of %s: %w", m.Owner, err)
			}
		}
		return nil
	})
}

func (m Migrations) read(d Dialect) ([]migration, error) {
	files, err := m.files(d)
	if err != nil {
		return nil, err
	}
	if m.Owner == "" || len(files) == 0 {
		return nil, fmt.Errorf("store: migrations of %q for %s: an owner and at least one .sql file are required", m.Owner, d)
	}
	slices.Sort(files)
	var list []migration
	for i, f := range files {
		match := migrationName.FindStringSubmatch(path.Base(f))
		if match == nil {
			return nil, fmt.Errorf("store: migration %s of %s: the name must be like 0001_runs.sql", f, m.Owner)
		}
		b, err := fs.ReadFile(m.FS, f)
		if err != nil {
			return nil, err
		}
		version, err := strconv.Atoi(match[1])
		if err != nil || version != i+1 {
			return nil, fmt.Errorf("store: migration %s of %s: expected number %04d", f, m.Owner, i+1)
		}
		sum := sha256.Sum256(b)
		list = append(list, migration{version, path.Base(f), string(b), hex.EncodeToString(sum[:])})
	}
	return list, nil
}

func (m Migrations) files(d Dialect) (files []string, err error) {
	patterns := []string{string(d) + "/*.sql", "*/" + string(d) + "/*.sql"} // an embedded folder keeps its name
	if d == SQLite {
		patterns = append(patterns, "*.sql", "*/*.sql")
	}
	for _, p := range patterns {
		if files, err = fs.Glob(m.FS, p); err != nil || len(files) > 0 {
			break
		}
	}
	return files, err
}

func apply(t *Tx, owner string, list []migration) error {
	if t.Dialect() == Postgres {
		if _, err := t.Exec("SELECT pg_advisory_xact_lock(?)", int64(migrationLock)); err != nil {
			return err
		}
	}
	if err := t.Script(createMigrations); err != nil {
		return err
	}
	have := 0
	err := t.Each(func(r Rows) error {
		var version int
		var name, digest string
		if err := r.Scan(&version, &name, &digest); err != nil {
			return err
		}
		have = max(have, version)
		if version <= len(list) && list[version-1].digest != digest {
			return fmt.Errorf("%w: migration %s differs from the one that was applied", ErrOtherBuild, name)
		}
		return nil
	}, "SELECT version, name, digest FROM kiwerk_migrations WHERE owner = ? ORDER BY version", owner)
	if err != nil {
		return err
	}
	if have > len(list) {
		return fmt.Errorf("%w: its schema is %d, this program knows %d; start the newer version or restore the backup from before its first start", ErrNewer, have, len(list))
	}
	for _, m := range list[have:] {
		if err := t.Script(m.script); err != nil {
			return fmt.Errorf("migration %s: %w", m.name, err)
		}
		if _, err := t.Exec("INSERT INTO kiwerk_migrations(owner, version, name, digest) VALUES(?, ?, ?, ?)", owner, m.version, m.name, m.digest); err != nil {
			return err
		}
	}
	return nil
}

// IsNoRows tells whether a Row had no answer.
func IsNoRows(err error) bool { return errors.Is(err, sql.ErrNoRows) }
