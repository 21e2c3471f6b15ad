//go:build linux

package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// ErrNoNft says that the program nft is missing.
var ErrNoNft = errors.New("the program nft was not found; install it (Debian, Ubuntu: `sudo apt-get install nftables`)")

// NftProgram finds nft, which ordinary users often do not have on their PATH.
func NftProgram() (string, error) {
	if path, err := exec.LookPath("nft"); err == nil {
		return path, nil
	}
	for _, path := range []string{"/usr/sbin/nft", "/sbin/nft", "/usr/local/sbin/nft"} {
		if st, err := os.Stat(path); err == nil && st.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", ErrNoNft
}

// nft runs a script as one transaction and returns what it prints.
func nft(ctx context.Context, script string) (string, error) {
	program, err := NftProgram()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, program, "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(errs.String()), "\n")
		return "", fmt.Errorf("nft: %s (%w)", first, err)
	}
	return out.String(), nil
}
