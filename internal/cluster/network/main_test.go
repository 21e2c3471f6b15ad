//go:build linux

package network

import (
	"testing"

	"github.com/kiwerk/kiwerk/internal/cluster/agenttest"
)

func TestMain(m *testing.M) { agenttest.MainNetwork(m) }

func TestAsOrdinaryUser(t *testing.T) { agenttest.AsUser(t) }
