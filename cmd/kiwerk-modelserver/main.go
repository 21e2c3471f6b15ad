// Command kiwerk-modelserver serves one ONNX model over HTTP.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/kiwerk/kiwerk/internal/modelserver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	code := modelserver.Main(ctx, os.Args[1:], os.Getenv, os.Stderr)
	stop()
	os.Exit(code)
}
