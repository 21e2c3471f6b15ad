package quiet_test

import (
	"testing"

	"go.etcd.io/etcd/client/pkg/v3/logutil"
	"go.uber.org/zap"

	_ "github.com/kiwerk/kiwerk/internal/cluster/quiet"
)

func TestDefaultLogger_writesToNoTerminal(t *testing.T) {
	for _, p := range append(logutil.DefaultZapLoggerConfig.OutputPaths, logutil.DefaultZapLoggerConfig.ErrorOutputPaths...) {
		if p != "/dev/null" {
			t.Errorf("the etcd client logs to %s", p)
		}
	}
	if _, err := logutil.CreateDefaultZapLogger(zap.InfoLevel); err != nil {
		t.Errorf("without a logger the client falls back to its own: %v", err)
	}
}
