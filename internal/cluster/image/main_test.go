//go:build linux

package image_test

import (
	"testing"

	"github.com/kiwerk/kiwerk/internal/cluster/agenttest"
)

func TestMain(m *testing.M) { agenttest.Main(m) }

func TestAsOrdinaryUser(t *testing.T) { agenttest.AsUser(t) }
