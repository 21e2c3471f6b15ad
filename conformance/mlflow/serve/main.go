package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking"
	"github.com/kiwerk/kiwerk/internal/tracking/webhooks"
)

func main() {
	dir := flag.String("data-dir", "", "folder of database and artifacts")
	listen := flag.String("listen", "127.0.0.1:0", "address")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := serve(ctx, *dir, *listen, func(url string) { fmt.Println(url) })
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(1)
	}
}

// anyone is the only user: the program listens on loopback, for tests.
type anyone struct{}

func (anyone) Authenticate(*http.Request) (server.User, error) {
	return server.User{Name: "tester", Local: true}, nil
}

func (anyone) Authorize(context.Context, server.User, server.Permission, string) error { return nil }

// serve runs until ctx ends; ready hears the address.
func serve(ctx context.Context, dir, listen string, ready func(url string)) (err error) {
	if dir == "" {
		return errors.New("--data-dir is required")
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	db, err := store.Open(ctx, store.Options{Path: filepath.Join(dir, "kiwerk.db"), Logger: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	blobs, err := blob.OpenFolder(filepath.Join(dir, "blobs"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, blobs.Close()) }()
	hooks, err := webhooks.ConfigFromEnv(os.Getenv)
	if err != nil {
		return err
	}
	hooks.KeyFile = filepath.Join(dir, "webhooks.key")
	svc, err := tracking.New(ctx, tracking.Deps{Store: db, Blobs: blobs, Clock: time.Now, NewID: tracking.RandomID, Logger: log, Webhooks: hooks})
	if err != nil {
		return err
	}
	health := server.Endpoint{
		Method: "GET", Pattern: "/health", Permission: server.Public("liveness of the test program"),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "OK") }),
	}
	handler, err := server.New(server.Options{
		Authenticator: anyone{}, Authorizer: anyone{}, Logger: log, Endpoints: append(svc.Endpoints(), health),
	})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	background := svc.Background()
	if err := background.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, background.Stop(context.WithoutCancel(ctx))) }()
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	ready("http://" + l.Addr().String())
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		stopped <- srv.Shutdown(end)
	}()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}
