// Command kiwerk is the command line and, with `kiwerk up`, the whole platform.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/local"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	home, _ := os.UserHomeDir() // without one, --data-dir is asked for
	code := cli.Run(ctx, cli.Program{
		Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Getenv: os.Getenv, Home: home, Runners: local.Runners(os.Getenv),
	})
	stop()
	os.Exit(code)
}
