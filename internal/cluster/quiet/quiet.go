package quiet

import (
	"os"

	"go.etcd.io/etcd/client/pkg/v3/logutil"
)

//nolint:gochecknoinits // The only moment that is early enough.
func init() {
	logutil.DefaultZapLoggerConfig.OutputPaths = []string{os.DevNull}
	logutil.DefaultZapLoggerConfig.ErrorOutputPaths = []string{os.DevNull}
}
