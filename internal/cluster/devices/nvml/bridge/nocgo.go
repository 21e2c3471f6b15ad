//go:build !cgo

package bridge

import (
	"fmt"
	"io"
)

// Main says that it cannot.
func Main(_ io.Reader, _, errs io.Writer) int {
	fmt.Fprintln(errs, "kiwerk-nvml was built without cgo; build it with CGO_ENABLED=1")
	return 1
}
