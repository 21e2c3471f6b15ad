// Command kiwerk-operator is the platform for an existing cluster: the same
// controllers and services as in `kiwerk up`, without a Kubernetes inside.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/kiwerk/kiwerk/internal/app"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := app.RunOperator(ctx, os.Args[1:], os.Stderr)
	stop()
	os.Exit(code)
}
