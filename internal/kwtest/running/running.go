//go:build linux

package running

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Logins of the ordinary users that tests make.
const (
	Ordinary = "kiwerk-test"
	// OrdinaryWithIDs has subordinate ids, as adduser gives them to people.
	OrdinaryWithIDs = "kiwerk-test-ids"
)

// Logins are the accounts to test with: root tests for itself and for an
// ordinary user, anyone else for itself. The empty one is who calls.
func Logins() []string {
	if os.Geteuid() != 0 {
		return []string{""}
	}
	return []string{"", Ordinary}
}

// Options of a [Platform].
type Options struct {
	// Bin is the folder of the built programs.
	Bin string
	// Login is the user to run as; empty is who calls.
	Login string
	// Output gets what the programs print.
	Output io.Writer
	// Up are further arguments of `kiwerk up`.
	Up []string
}

// Platform is a running `kiwerk up --detach`.
type Platform struct {
	base   string
	output io.Writer
	attr   *syscall.SysProcAttr
}

// Program is the program that the account can run, DataDir its data directory.
func (p *Platform) Program() string { return filepath.Join(p.base, "bin", "kiwerk") }

// DataDir is the data directory.
func (p *Platform) DataDir() string { return filepath.Join(p.base, "home", "data") }

// Kubeconfig has all rights.
func (p *Platform) Kubeconfig() string { return filepath.Join(p.DataDir(), "kubeconfig") }

// Start returns when the platform is ready.
func Start(ctx context.Context, o Options) (*Platform, error) {
	p, err := Prepare(o)
	if err != nil {
		return nil, err
	}
	if err := p.Kiwerk(ctx, append([]string{"up", "--detach", "--listen", "127.0.0.1:0"}, o.Up...)...); err != nil {
		return nil, errors.Join(err, p.Stop()) // the launcher may live on
	}
	return p, nil
}

// Prepare makes the place of a platform that the caller starts.
func Prepare(o Options) (*Platform, error) {
	base, err := os.MkdirTemp("/var/tmp", "kiwerk-running-")
	if err != nil {
		return nil, err
	}
	p := &Platform{base: base, output: o.Output, attr: &syscall.SysProcAttr{}}
	if err := p.prepare(o); err != nil {
		return nil, errors.Join(err, os.RemoveAll(base))
	}
	return p, nil
}

func (p *Platform) prepare(o Options) error {
	home := filepath.Dir(p.DataDir())
	if err := errors.Join(os.Chmod(p.base, 0o755), os.Mkdir(home, 0o755)); err != nil {
		return err
	}
	if err := copyPrograms(o.Bin, filepath.Dir(p.Program())); err != nil {
		return fmt.Errorf("%w: run make build first", err)
	}
	if o.Login == "" {
		return nil
	}
	u, err := Account(o.Login)
	if err != nil {
		return err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	p.attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(home, int(uid), int(gid))
}

// copyPrograms copies the programs and the libraries beside them, not the tools that the project is built with.
func copyPrograms(from, to string) error {
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	programs, err := filepath.Glob(filepath.Join(from, "kiwerk*"))
	if err != nil {
		return err
	}
	if len(programs) == 0 {
		return fmt.Errorf("%s holds no programs", from)
	}
	for _, program := range programs {
		if err := Link(program, filepath.Join(to, filepath.Base(program))); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(from, "lib")); err == nil {
		return os.CopyFS(filepath.Join(to, "lib"), os.DirFS(filepath.Join(from, "lib")))
	}
	return nil
}

// Link gives a program a second name, or copies it where that cannot be: on another file system.
func Link(from, to string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}

// Account finds the user, and makes it if there is none.
func Account(login string) (*user.User, error) {
	if u, err := user.Lookup(login); err == nil {
		return u, nil
	}
	args := []string{"--system", "--no-create-home", "--shell", "/usr/sbin/nologin"}
	if login == OrdinaryWithIDs {
		args = append(args, "--add-subids-for-system")
	}
	out, err := exec.Command("useradd", append(args, login)...).CombinedOutput()
	u, again := user.Lookup(login) // tests of another package may have been faster
	if again != nil {
		return nil, fmt.Errorf("make user %s: %w: %s", login, errors.Join(err, again), out)
	}
	return u, nil
}

// HasIDs tells whether a user has subordinate ids.
func HasIDs(login string) bool {
	b, err := os.ReadFile("/etc/subuid")
	return err == nil && strings.Contains("\n"+string(b), "\n"+login+":")
}

// Command runs a program as the account, with the platform's programs and data directory.
func (p *Platform) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.SysProcAttr = "/", p.attr
	cmd.Env = []string{
		"PATH=" + filepath.Dir(p.Program()) + ":/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME=" + filepath.Dir(p.DataDir()),
		"LANG=C.UTF-8", "KIWERK_DATA_DIR=" + p.DataDir(),
	}
	return cmd
}

// Kiwerk runs a command of the program on the platform's data directory.
func (p *Platform) Kiwerk(ctx context.Context, args ...string) error {
	cmd := p.Command(ctx, p.Program(), args...)
	cmd.Stdout, cmd.Stderr = p.output, p.output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kiwerk %s: %w", args[0], err)
	}
	return nil
}

// Stop ends the platform and removes what it stored. What could not be stopped is left to be looked at.
func (p *Platform) Stop() error {
	if err := p.Kiwerk(context.Background(), "down"); err != nil {
		return err
	}
	return os.RemoveAll(p.base)
}

// Pause lets a platform settle before it is measured.
func Pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
