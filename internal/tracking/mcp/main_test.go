package mcp

import (
	"os"
	"testing"

	"github.com/kiwerk/kiwerk/internal/kwtest/postgres"
)

func TestMain(m *testing.M) { os.Exit(postgres.Run(m.Run)) }
