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
	"syscall"
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

// NFT carries out a script as one transaction, in the network namespace of the
// calling thread, and returns what it prints.
func NFT(ctx context.Context, script string) (string, error) { return runNFT(ctx, script, nil) }

// TryPodNetwork tells whether pods can have a network of their own here: a
// network namespace in which nft may make rules.
func TryPodNetwork(ctx context.Context) error {
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	_, err := runNFT(ctx, "add table ip kiwerk-try\nadd chain ip kiwerk-try c { type nat hook postrouting priority 100 ; }\nadd rule ip kiwerk-try c masquerade\n", attr)
	return err
}

func runNFT(ctx context.Context, script string, attr *syscall.SysProcAttr) (string, error) {
	program, err := NftProgram()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, program, "-f", "-")
	cmd.Stdin, cmd.SysProcAttr = strings.NewReader(script), attr
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(errs.String()), "\n")
		return "", fmt.Errorf("nft: %s (%w)", first, err)
	}
	return out.String(), nil
}
