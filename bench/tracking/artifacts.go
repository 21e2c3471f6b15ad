package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// artifactSize is what goes up and down.
const artifactSize = 1 << 30

// artifacts measures one large file through the proxy beside a raw copy
// through a socket to a synced file.
func (b *bench) artifacts(ctx context.Context) error {
	if b.engine != sqlite {
		return nil // bytes do not touch the database
	}
	up := &row{name: "1 GiB up", unit: "MB/s", ratio: 2}
	down := &row{name: "1 GiB down", unit: "MB/s", ratio: 2}
	upShare := &row{name: "up, share of a raw copy", unit: "", bound: 0.8}
	downShare := &row{name: "down, share of a raw copy", unit: "", bound: 0.8}
	growth := &row{name: "memory more at its highest", unit: "MB", smaller: true, bound: 32}
	var servers []*target
	for _, t := range b.servers {
		if t.name != fasttrackml { // it has no proxy
			servers = append(servers, t)
		}
	}
	for range b.o.rounds {
		rawUp, rawDown, err := rawCopy(ctx, b.dir)
		if err != nil {
			return err
		}
		for _, t := range servers {
			err := t.run(ctx, func() error {
				if err := pause(ctx, time.Second); err != nil {
					return err
				}
				before := t.peak()
				address := t.url + "/api/2.0/mlflow-artifacts/artifacts/0/bench/artifacts/large.bin"
				u, d, err := transfer(ctx, t.client, address)
				if err != nil {
					return err
				}
				up.add(t.name, u)
				down.add(t.name, d)
				growth.add(t.name, t.peak()-before)
				if t.name == kiwerk {
					upShare.add(t.name, u/rawUp)
					downShare.add(t.name, d/rawDown)
				}
				return nil
			})
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
		}
	}
	b.print("artifacts", []*row{up, down, upShare, downShare, growth})
	return nil
}

// transfer puts a file and gets it back, and tells both speeds in MB/s.
func transfer(ctx context.Context, c *http.Client, address string) (up, down float64, err error) {
	begin := time.Now()
	put, err := http.NewRequestWithContext(ctx, http.MethodPut, address, io.LimitReader(&pattern{}, artifactSize))
	if err != nil {
		return 0, 0, err
	}
	put.ContentLength = artifactSize
	if err := discard(c, put, 0); err != nil {
		return 0, 0, err
	}
	up = artifactSize / 1e6 / time.Since(begin).Seconds()
	begin = time.Now()
	get, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, 0, err
	}
	if err := discard(c, get, artifactSize); err != nil {
		return 0, 0, err
	}
	return up, artifactSize / 1e6 / time.Since(begin).Seconds(), nil
}

func discard(c *http.Client, r *http.Request, want int64) error {
	resp, err := c.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode >= http.StatusBadRequest:
		return fmt.Errorf("%s %s: status %d", r.Method, r.URL.Path, resp.StatusCode)
	case want > 0 && n != want:
		return fmt.Errorf("%s %s: %d bytes, expected %d", r.Method, r.URL.Path, n, want)
	}
	return nil
}

// pattern yields bytes that are not all the same.
type pattern struct{ n byte }

func (p *pattern) Read(b []byte) (int, error) {
	p.n++
	for i := range b {
		b[i] = p.n + byte(i)
	}
	return len(b), nil
}

// rawCopy is the least that a server must do: a request's body to a file that
// is synced, and a file to an answer.
func rawCopy(ctx context.Context, dir string) (up, down float64, err error) {
	file := filepath.Join(dir, "raw.bin")
	defer func() { err = errors.Join(err, os.Remove(file)) }()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, 0, err
	}
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			http.ServeFile(w, r, file)
			return
		}
		if err := store(file, r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})}
	go func() { _ = srv.Serve(l) }() // ends with Close
	defer func() { err = errors.Join(err, srv.Close()) }()
	return transfer(ctx, &http.Client{}, "http://"+l.Addr().String()+"/")
}

func store(file string, r io.Reader) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Sync(), f.Close())
}
