package digests

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/kiwerk/kiwerk/internal/blob"
	db "github.com/kiwerk/kiwerk/internal/store"
)

//go:embed migrations
var migrations embed.FS

// Migrations is the schema.
func Migrations() db.Migrations { return db.Migrations{Owner: "tracking-digests", FS: migrations} }

// Digests is the table.
type Digests struct{ db *db.Store }

// None keeps nothing and knows nothing.
var None = &Digests{}

// New brings the schema up to date.
func New(ctx context.Context, s *db.Store) (*Digests, error) {
	return &Digests{s}, s.Migrate(ctx, Migrations())
}

// Put remembers the SHA-256 of what lies at info.Key.
func (d *Digests) Put(ctx context.Context, info blob.Info, sum []byte) error {
	if d.db == nil {
		return nil
	}
	return d.db.Update(ctx, func(t *db.Tx) error {
		_, err := t.Exec(`INSERT INTO artifact_digests(key, version, size, sha256) VALUES(?, ?, ?, ?)
			ON CONFLICT(key) DO UPDATE SET version = excluded.version, size = excluded.size, sha256 = excluded.sha256`,
			info.Key, info.Version, info.Size, hex.EncodeToString(sum))
		return err
	})
}

// Of is the SHA-256, in hexadecimal, of what info describes; "" if it is not known.
func (d *Digests) Of(ctx context.Context, info blob.Info) (sum string, err error) {
	if info.Version == "" || d.db == nil {
		return "", nil
	}
	err = d.db.View(ctx, func(t *db.Tx) error {
		err := t.Row("SELECT sha256 FROM artifact_digests WHERE key = ? AND version = ? AND size = ?", info.Key, info.Version, info.Size).Scan(&sum)
		if db.IsNoRows(err) {
			return nil
		}
		return err
	})
	return sum, err
}

// Forget drops what is known of a key and of everything below it.
func (d *Digests) Forget(ctx context.Context, key string) error {
	if d.db == nil {
		return nil
	}
	return d.db.Update(ctx, func(t *db.Tx) error {
		// "0" follows "/": the range is what begins with key and a slash.
		_, err := t.Exec("DELETE FROM artifact_digests WHERE key = ? OR key >= ? AND key < ?", key, key+"/", key+"0")
		return err
	})
}

// Secret is the one of that name, the same in every copy of the server; the
// first to ask makes it.
func (d *Digests) Secret(ctx context.Context, name string) ([]byte, error) {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails, as its documentation promises
	var secret string
	err := d.db.Update(ctx, func(t *db.Tx) error {
		if _, err := t.Exec("INSERT INTO artifact_secrets(name, secret) VALUES(?, ?) ON CONFLICT(name) DO NOTHING", name, hex.EncodeToString(b[:])); err != nil {
			return err
		}
		return t.Row("SELECT secret FROM artifact_secrets WHERE name = ?", name).Scan(&secret)
	})
	if err != nil {
		return nil, err
	}
	out, err := hex.DecodeString(strings.TrimSpace(secret))
	if err != nil {
		return nil, fmt.Errorf("the secret %s in the database is damaged: %w", name, err)
	}
	return out, nil
}
