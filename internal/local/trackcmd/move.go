package trackcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kiwerk/kiwerk/internal/app/alone"
	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/cli"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/text"
	"github.com/kiwerk/kiwerk/internal/tracking"
	"github.com/kiwerk/kiwerk/internal/tracking/migrate"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
	traces "github.com/kiwerk/kiwerk/internal/tracking/traces/store"
)

// openStore opens a database of ours by its URI. One that is read must exist.
func openStore(ctx context.Context, uri string, read bool) (*db.Store, *store.Store, error) {
	path, err := alone.DatabasePath(uri, ".")
	if err != nil {
		return nil, nil, err
	}
	if read && !strings.Contains(path, "://") {
		if _, err := os.Stat(path); err != nil { // opening would make an empty one
			return nil, nil, err
		}
	}
	if err := alone.CheckFolder(path); err != nil {
		return nil, nil, err
	}
	d, err := db.Open(ctx, db.Options{Path: path})
	if err != nil {
		return nil, nil, err
	}
	s, err := store.New(ctx, store.Options{DB: d, Clock: time.Now, NewID: tracking.RandomID, ArtifactRoot: "mlflow-artifacts:", DefaultNamespace: "default"})
	if err != nil {
		return nil, nil, errors.Join(err, d.Close())
	}
	return d, s, nil
}

// openArtifacts opens the folder or bucket of --artifacts-destination.
func openArtifacts(ctx context.Context, uri string) (blob.Bucket, func() error, error) {
	if scheme, _, found := strings.Cut(uri, "://"); found && scheme != "file" {
		b, err := blob.Open(ctx, uri)
		if err != nil {
			return nil, nil, err
		}
		if c, ok := b.(io.Closer); ok {
			return b, c.Close, nil
		}
		return b, func() error { return nil }, nil
	}
	dir := uri
	if u, err := url.Parse(uri); err == nil && u.Scheme == "file" {
		dir = u.Path
	}
	b, err := blob.OpenFolder(dir)
	if err != nil {
		return nil, nil, err
	}
	return b, b.Close, nil
}

// openSource finds out what a source is.
func openSource(ctx context.Context, o cli.ImportOptions) (migrate.Source, func() error, error) {
	if o.Server != nil {
		src, err := migrate.OpenServer(ctx, o.Server)
		return src, func() error { return nil }, err
	}
	scheme, _, found := strings.Cut(o.Source, "://")
	switch driver, _, _ := strings.Cut(scheme, "+"); {
	case !found, driver == "file", driver == "sqlite", driver == "postgresql", driver == "postgres":
	default:
		return nil, nil, &cli.Failure{Code: cli.ExitUsage, What: text.S(text.ImportNoSource, driver), Try: text.S(text.Verbatim, "kiwerk tracking import sqlite:///mlflow.db")}
	}
	source := o.Source
	dir := strings.TrimPrefix(source, "file://")
	if i, err := os.Stat(dir); err == nil && i.IsDir() {
		f, err := migrate.OpenFiles(dir)
		if err != nil {
			return nil, nil, err
		}
		return f, f.Close, nil
	}
	d, err := migrate.OpenDatabase(ctx, source)
	if errors.Is(err, migrate.ErrKiwerk) {
		return openKiwerk(ctx, o)
	}
	if err != nil {
		return nil, nil, err
	}
	return d, d.Close, nil
}

// openKiwerk opens a database of ours as the source.
func openKiwerk(ctx context.Context, o cli.ImportOptions) (migrate.Source, func() error, error) {
	uri := o.Source
	if driver, rest, found := strings.Cut(uri, "://"); !found {
		uri = "sqlite:///" + uri
	} else if driver == "file" {
		uri = "sqlite://" + rest
	}
	if name(o.To) == name(uri) {
		return nil, nil, &cli.Failure{Code: cli.ExitUsage, What: text.S(text.ImportItself, alone.Redact(o.To)), Try: text.S(text.ImportTakenTry)}
	}
	d, st, err := openStore(ctx, uri, true)
	if err != nil {
		return nil, nil, err
	}
	ts, err := traces.New(ctx, traces.Options{DB: d, Clock: time.Now, NewID: tracking.RandomID})
	if err != nil {
		return nil, nil, errors.Join(err, d.Close())
	}
	src, err := migrate.KiwerkDatabase(ctx, d, st, ts)
	if err != nil {
		return nil, nil, errors.Join(err, d.Close())
	}
	return src, d.Close, nil
}

func bring(ctx context.Context, s cli.Session, o cli.ImportOptions) (done *cli.Imported, err error) {
	src, closeSource, err := openSource(ctx, o)
	if err != nil {
		return nil, moveFailed(text.ImportFailed, err)
	}
	defer func() { err = errors.Join(err, closeSource()) }()
	if server, ok := src.(*migrate.Server); ok && !s.Quiet {
		server.Asked = func(runs, all int) { _ = s.Text.Fprintln(s.Err, text.ImportLinks, runs, all) } // talk only
	}
	options := migrate.ImportOptions{Name: sourceName(o), Source: src, DryRun: o.DryRun, Progress: func(runs, points, traces int64) {
		if !s.Quiet {
			_ = s.Text.Fprintln(s.Err, text.ImportProgress, runs, points, traces) // talk only
		}
	}}
	if !o.DryRun {
		d, st, err := openStore(ctx, o.To, false)
		if err != nil {
			return nil, moveFailed(text.ImportFailed, err)
		}
		defer func() { err = errors.Join(err, d.Close()) }()
		ts, err := traces.New(ctx, traces.Options{DB: d, Clock: time.Now, NewID: tracking.RandomID})
		if err != nil {
			return nil, moveFailed(text.ImportFailed, err)
		}
		options.DB, options.Store, options.Traces = d, st, ts
		if o.Artifacts == "copy" {
			bucket, closeBucket, err := openArtifacts(ctx, o.ArtifactsTo)
			if err != nil {
				return nil, moveFailed(text.ImportFailed, err)
			}
			defer func() { err = errors.Join(err, closeBucket()) }()
			options.Artifacts = &migrate.Artifacts{Bucket: bucket, Served: o.ArtifactsFrom, Dir: baseOf(o.Source)}
			options.Artifacts.Server, _ = src.(*migrate.Server)
		}
	}
	r, err := migrate.Import(ctx, options)
	if err != nil {
		return nil, moveFailed(text.ImportFailed, err)
	}
	done = imported(r)
	if !o.DryRun && !r.Same() {
		return done, &cli.Failure{What: text.S(text.ImportNotSame), Why: text.S(text.ImportNotSameWhy)}
	}
	if !o.DryRun && !s.Quiet {
		_ = s.Text.Fprintln(s.Err, text.ImportServe, fmt.Sprintf("kiwerk tracking serve --backend-store-uri %s --artifacts-destination %s",
			text.Quote(alone.Redact(o.To)), text.Quote(alone.Redact(o.ArtifactsTo)))) // talk only
	}
	return done, nil
}

// sourceName says which workspace of a server it is: each is imported by itself.
func sourceName(o cli.ImportOptions) string {
	if o.Server == nil || o.Server.Workspace() == "" {
		return name(o.Source)
	}
	return name(o.Source) + " workspace " + o.Server.Workspace()
}

// name of a source that does not depend on where the command was called, without a password.
func name(source string) string {
	if scheme, _, found := strings.Cut(source, "://"); found && scheme != "sqlite" && scheme != "file" {
		return alone.Redact(source)
	}
	file := strings.TrimPrefix(strings.TrimPrefix(source, "sqlite:///"), "file://")
	if abs, err := filepath.Abs(file); err == nil {
		return abs
	}
	return file
}

// baseOf is what relative addresses in a source start at: the folder that holds it.
func baseOf(source string) string { return filepath.Dir(name(source)) }

func imported(r *migrate.Report) *cli.Imported {
	i := &cli.Imported{
		Source: r.Source, DryRun: r.DryRun, Same: !r.DryRun && r.Same(), Copied: r.Artifacts.Copied, Bytes: r.Artifacts.Bytes, Elsewhere: r.Artifacts.Elsewhere, Missing: r.Artifacts.Missing, Refused: r.Artifacts.Refused, Scorers: r.Scorers,
	}
	for _, l := range r.Lines {
		i.Lines = append(i.Lines, cli.ImportedKind{Kind: l.Kind, Source: l.Source.Count, Here: l.Here.Count, Sum: fmt.Sprintf("%016x", l.Source.Sum), Same: l.Same, Unread: l.Unread})
	}
	return i
}

func export(ctx context.Context, _ cli.Session, o cli.ExportOptions) (done *cli.Exported, err error) {
	d, st, err := openStore(ctx, o.From, true)
	if err != nil {
		return nil, moveFailed(text.ExportFailed, err)
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if has, err := st.HasContent(ctx, o.Workspace); err != nil {
		return nil, moveFailed(text.ExportFailed, err)
	} else if !has {
		return nil, &cli.Failure{Code: cli.ExitNotFound, What: text.S(text.ExportEmpty, o.Workspace)}
	}
	bucket, closeBucket, err := openArtifacts(ctx, o.Artifacts)
	if err != nil {
		return nil, moveFailed(text.ExportFailed, err)
	}
	defer func() { err = errors.Join(err, closeBucket()) }()
	ts, err := traces.New(ctx, traces.Options{DB: d, Clock: time.Now, NewID: tracking.RandomID})
	if err != nil {
		return nil, moveFailed(text.ExportFailed, err)
	}
	r, err := migrate.Export(ctx, migrate.ExportOptions{Source: migrate.Kiwerk(st, ts), Dir: o.Dir, Namespace: o.Workspace, Bucket: bucket})
	if err != nil {
		return nil, moveFailed(text.ExportFailed, err)
	}
	return &cli.Exported{
		Dir: r.Dir, Experiments: r.Experiments, Runs: r.Runs, Kept: cli.Kept(r.Kept), Points: r.Points, Models: r.Models, Traces: r.Traces, Registered: r.Registered, Files: r.Files, Refused: r.Refused,
	}, nil
}

func moveFailed(what text.Key, err error) error {
	var f *cli.Failure
	if errors.As(err, &f) {
		return err
	}
	if errors.Is(err, store.ErrTaken) {
		return &cli.Failure{What: text.S(text.ImportTaken), Cause: err, Try: text.S(text.ImportTakenTry)}
	}
	if errors.Is(err, migrate.ErrOccupied) {
		return &cli.Failure{What: text.S(text.ExportOccupied), Cause: err, Try: text.S(text.ExportOccupiedTry)}
	}
	f = &cli.Failure{What: text.S(what), Cause: err}
	if errors.Is(err, alone.ErrURI) {
		f.Code = cli.ExitUsage
	}
	return f
}
