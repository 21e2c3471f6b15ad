//go:build linux

package agenttest

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/kwtest/running"
)

const (
	envAgent = "KIWERK_TEST_AGENT"
	envInNS  = "KIWERK_TEST_IN_NAMESPACE"
)

// Agent returns the path of the agent that Main built.
func Agent() string { return os.Getenv(envAgent) }

// Main runs the tests of a package in namespaces like the holder's.
func Main(m *testing.M) {
	flag.Parse()
	exit(run(m, unix.CLONE_NEWNS))
}

// MainNetwork is Main with a network namespace, too, as a holder with pod
// networks makes it.
func MainNetwork(m *testing.M) {
	flag.Parse()
	exit(run(m, unix.CLONE_NEWNS|unix.CLONE_NEWNET))
}

// MainOutside is Main for tests that make the namespaces themselves.
func MainOutside(m *testing.M) {
	flag.Parse()
	exit(run(m, 0))
}

func exit(code int, err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// run runs the tests in the namespaces that the flags name; 0 stays outside.
func run(m *testing.M, namespaces uintptr) (int, error) {
	if Agent() == "" {
		dir, err := build()
		if err != nil {
			return 1, err
		}
		defer func() { _ = os.RemoveAll(dir) }()
	}
	if namespaces == 0 || os.Getenv(envInNS) != "" {
		return m.Run(), nil
	}
	return enter(namespaces)
}

// build compiles the agent into a folder that other users can read.
func build() (string, error) {
	dir, err := os.MkdirTemp("", "kiwerk-agent-")
	if err != nil {
		return "", err
	}
	agent := filepath.Join(dir, "kiwerk-agent")
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", agent, "github.com/kiwerk/kiwerk/cmd/kiwerk-agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("build agent: %w\n%s", err, out)
	}
	return dir, errors.Join(os.Chmod(dir, 0o755), os.Setenv(envAgent, agent))
}

// enter starts the test binary again in namespaces of its own.
func enter(namespaces uintptr) (int, error) {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), envInNS+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// AsUser runs the tests of this package again as an ordinary user. Without
// root there is nothing to do: the tests run as one already.
func AsUser(t *testing.T) {
	t.Helper()
	if os.Getenv(envAsUser) != "" {
		return
	}
	if os.Geteuid() != 0 || inUserNamespace() {
		t.Skip("runs as an ordinary user already; root runs both")
	}
	var args []string
	for _, a := range os.Args[1:] {
		if a == "-test.v" || strings.HasPrefix(a, "-test.v=") || strings.HasPrefix(a, "-test.short") {
			args = append(args, a)
		}
	}
	runAs(t, ensureUser(t, running.Ordinary), "1", []string{"--no-new-privs"}, args)
}

// AsUserWithIDs runs one test of this package as an ordinary user to whom the
// host grants subordinate ids, which it makes; there it returns true. Only with the programs that map the ids.
func AsUserWithIDs(t *testing.T) bool {
	t.Helper()
	if os.Getenv(envAsUser) == "ids" {
		return true
	}
	if os.Geteuid() != 0 || inUserNamespace() {
		t.Skip("only root can make a user with subordinate ids")
	}
	if _, err := exec.LookPath("newuidmap"); err != nil {
		t.Fatal("newuidmap is needed to give a user further ids; run make setup (Debian package uidmap)")
	}
	u := ensureUser(t, running.OrdinaryWithIDs)
	runAs(t, u, "ids", nil, []string{"-test.run=^" + t.Name() + "$"})
	return false
}

const envAsUser = "KIWERK_TEST_AS_USER"

// runAs runs the test binary again as another user.
func runAs(t *testing.T, u *user.User, mark string, options, testArgs []string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "kiwerk-user-") //nolint:usetesting // Another user has to enter it.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	bin := filepath.Join(dir, "test")
	copyFile(t, "/proc/self/exe", bin)
	tmp := filepath.Join(dir, "tmp")
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := errors.Join(os.Mkdir(tmp, 0o700), os.Chown(tmp, uid, gid), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"--reuid", u.Uid, "--regid", u.Gid, "--clear-groups"}, options...)
	args = append(append(args, "--", bin, "-test.count=1"), testArgs...)
	cmd := exec.Command("setpriv", args...)
	cmd.Dir = tmp
	cmd.Env = []string{
		"HOME=" + tmp, "TMPDIR=" + tmp, "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
		envAsUser + "=" + mark, envAgent + "=" + Agent(),
	}
	out, err := cmd.CombinedOutput()
	t.Logf("as user %s:\n%s", u.Username, out)
	if err != nil {
		t.Errorf("the tests failed as user %s: %v", u.Username, err)
	}
}

func inUserNamespace() bool {
	m, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && !strings.Contains(string(m), "4294967295")
}

func ensureUser(t *testing.T, name string) *user.User {
	t.Helper()
	u, err := running.Account(name)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}
