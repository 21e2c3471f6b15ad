//go:build !linux

package step

import "errors"

// runCommand exists so that the package builds where the CLI does; steps run on Linux only.
func runCommand([]string, []string, bool) (int, []byte, error) {
	return 0, nil, errors.New("steps run on Linux only")
}
