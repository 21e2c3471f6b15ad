package main

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite" // its driver
)

//go:embed fill/*.sql
var fillSQL embed.FS

// fillLarge makes an experiment for each size, with a first run through the
// API that makes the names, and the others by SQL while the server is down.
func (b *bench) fillLarge(ctx context.Context, t *target, sizes []int) (experiments map[int]string, err error) {
	experiments = map[int]string{}
	err = t.run(ctx, func() error {
		for _, n := range sizes {
			experiment, err := t.newExperiment(ctx, fmt.Sprintf("bench-%d", n))
			if err != nil {
				return err
			}
			run, err := t.newRun(ctx, experiment, 1000)
			if err != nil {
				return err
			}
			if _, err := t.call(ctx, "runs/log-batch", sample(run, 0)); err != nil {
				return err
			}
			experiments[n] = experiment
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	script, err := fs.ReadFile(fillSQL, "fill/"+t.name+"-"+b.engine+".sql")
	if err != nil {
		return nil, err
	}
	db, err := b.connect(ctx, t)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.close()) }()
	for _, n := range sizes {
		// Runs 1 to n-1; run 0 is there.
		text := strings.NewReplacer("{experiment}", experiments[n], "{runs}", fmt.Sprint(n-1)).Replace(string(script))
		if err := db.exec(ctx, text); err != nil {
			return nil, fmt.Errorf("%d runs: %w", n, err)
		}
	}
	// As an administrator would after a large import.
	return experiments, db.exec(ctx, "ANALYZE")
}

// database is a connection beside the server.
type database struct {
	exec  func(ctx context.Context, script string) error
	size  func(ctx context.Context) (int64, error)
	close func() error
}

func (b *bench) connect(ctx context.Context, t *target) (*database, error) {
	if b.engine == postgres {
		c, err := pgx.Connect(ctx, t.uri)
		if err != nil {
			return nil, err
		}
		return &database{
			exec: func(ctx context.Context, script string) error {
				_, err := c.PgConn().Exec(ctx, script).ReadAll()
				return err
			},
			size: func(ctx context.Context) (n int64, err error) {
				return n, c.QueryRow(ctx, "SELECT pg_database_size(current_database())").Scan(&n)
			},
			close: func() error { return c.Close(context.WithoutCancel(ctx)) },
		}, nil
	}
	file := strings.TrimPrefix(t.uri, "sqlite:///")
	db, err := sql.Open("sqlite", file+"?_pragma=synchronous(off)&_pragma=cache_size(-400000)&_pragma=busy_timeout(10000)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return &database{
		exec: func(ctx context.Context, script string) error {
			_, err := db.ExecContext(ctx, script)
			return err
		},
		size: func(ctx context.Context) (int64, error) {
			var busy, log, done int
			if err := db.QueryRowContext(ctx, "PRAGMA wal_checkpoint").Scan(&busy, &log, &done); err != nil {
				return 0, err
			}
			return fileSize(filepath.Dir(file), filepath.Base(file))
		},
		close: db.Close,
	}, nil
}

func fileSize(dir, name string) (int64, error) {
	info, err := os.Stat(filepath.Join(dir, name))
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// databaseSize is what the database takes on disk, without the log that is still to be folded in.
func (b *bench) databaseSize(ctx context.Context, t *target) (n int64, err error) {
	db, err := b.connect(ctx, t)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.close()) }()
	return db.size(ctx)
}
