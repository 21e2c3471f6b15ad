//go:build linux

package local

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/tracking/client"
)

// trackingServer is that of the running platform of the data directory, as its owner reaches it.
func trackingServer(_ context.Context, s cli.Session) (client.Options, error) {
	run, err := readRun(s.DataDir)
	if err != nil {
		return client.Options{}, notRunning(s)
	}
	token, err := os.ReadFile(filepath.Join(s.DataDir, tokenFile))
	if err != nil {
		return client.Options{}, err
	}
	c, err := run.client()
	if err != nil {
		return client.Options{}, err
	}
	return client.Options{URI: run.URL, Token: strings.TrimSpace(string(token)), HTTP: c}, nil
}
