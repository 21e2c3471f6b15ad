//go:build linux

package shim_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
	"github.com/kiwerk/kiwerk/internal/cluster/shim"
)

// secret puts a file where no container may look, in the masked data directory.
func (b *box) secret(t *testing.T) string {
	t.Helper()
	p := filepath.Join(b.data, "secret")
	if err := os.WriteFile(p, []byte("the secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestStart_kernelMounts mounts volumes over what the runtime itself provides.
// They replace it for the container alone, or are refused; the host's stays.
func TestStart_kernelMounts(t *testing.T) {
	for _, dest := range []string{"/proc", "/sys", "/dev", "/proc/sys", "/proc/self", "/proc/1/root", "/sys/kernel", "/dev/null", "/.kiwerk", "/.kiwerk/bin", "/etc", "/usr", "/tmp"} {
		t.Run(strings.ReplaceAll(dest, "/", "_"), func(t *testing.T) {
			b := newBox(t, `cat /secret /proc/1/root/`+"$SECRET"+` 2>/dev/null; echo x > /proc/sys/kernel/core_pattern; exit 0`)
			secret := b.secret(t)
			b.spec.Process.Env = append(b.spec.Process.Env, "SECRET="+secret)
			b.volume(t, "v", rootfs.Volume{Dest: dest})
			before, err := os.ReadFile("/proc/sys/kernel/core_pattern")
			if err != nil {
				t.Fatal(err)
			}
			r, err := b.tryStart(t)
			if err == nil {
				wait(t, r.Done())
				if out := b.output(t); strings.Contains(out, "the secret") {
					t.Errorf("output %q", out)
				}
			} else if !strings.Contains(err.Error(), dest) && !strings.Contains(err.Error(), "/bin/sh") && !strings.Contains(err.Error(), "/dev") {
				t.Errorf("the refusal does not name the path: %v", err)
			}
			if after, err := os.ReadFile("/proc/sys/kernel/core_pattern"); err != nil || string(after) != string(before) {
				t.Errorf("the host's setting is %q, was %q", after, before)
			}
		})
	}
}

// TestStart_links leads volumes through symbolic links to masked places.
func TestStart_links(t *testing.T) {
	b := newBox(t, `cat /v/out /v/dir/secret /v/up /v/proc 2>/dev/null; (echo x > /v/dir/new) 2>/dev/null && echo wrote; echo done`)
	secret := b.secret(t)
	v := b.volume(t, "v", rootfs.Volume{Dest: "/v"})
	for name, target := range map[string]string{
		"out": secret, "dir": b.data, "up": strings.Repeat("../", 30) + secret, "proc": "/proc/1/root" + secret,
	} {
		if err := os.Symlink(target, filepath.Join(v, name)); err != nil {
			t.Fatal(err)
		}
	}
	// A volume whose source is a link to a masked place is refused as that place is.
	if _, out := b.run(t); out != "done\n" {
		t.Errorf("output %q", out)
	}
	if _, err := os.Stat(filepath.Join(b.data, "new")); err == nil {
		t.Error("the container wrote into the data directory")
	}
	evil := newBox(t, "true")
	evil.spec.Root.Masks = append(evil.spec.Root.Masks, b.data)
	evil.spec.Root.Volumes = []rootfs.Volume{{Source: filepath.Join(v, "dir"), Dest: "/x"}}
	if _, err := evil.tryStart(t); err == nil || !strings.Contains(err.Error(), "belongs to the platform") {
		t.Errorf("volume through a link: %v", err)
	}
}

// TestStart_nestedLink has a volume in which a link stands where another volume is to be mounted.
func TestStart_nestedLink(t *testing.T) {
	b := newBox(t, `cat /inner/f /v/sub/f 2>/dev/null; echo done`)
	outer := b.volume(t, "outer", rootfs.Volume{Dest: "/v"})
	inner := b.volume(t, "inner", rootfs.Volume{Dest: "/v/sub"})
	if err := os.WriteFile(filepath.Join(inner, "f"), []byte("inner\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	host := t.TempDir() // exists on the host only
	if err := os.Symlink(host, filepath.Join(outer, "sub")); err != nil {
		t.Fatal(err)
	}
	if r, err := b.tryStart(t); err == nil {
		wait(t, r.Done())
	}
	if entries, err := os.ReadDir(host); err != nil || len(entries) != 0 {
		t.Errorf("on the host: %v, %v", entries, err)
	}
}

// TestStart_procRoot tries ways out through other processes.
func TestStart_procRoot(t *testing.T) {
	b := newBox(t, `
for p in /proc/1/root /proc/self/root /proc/1/cwd /proc/$PPID/root /proc/1/fd/0 /proc/1/fd/3 /proc/1/fd/4 /proc/self/fd/3; do
  cat $p$SECRET $p/../../..$SECRET 2>/dev/null && echo by $p
done; ls /proc/1/fd 2>/dev/null | wc -l; nsenter -t 1 -m cat $SECRET 2>/dev/null; echo done`)
	b.spec.Process.Env = append(b.spec.Process.Env, "SECRET="+b.secret(t))
	if _, out := b.run(t); strings.Contains(out, "the secret") || !strings.HasSuffix(out, "done\n") {
		t.Errorf("output %q", out)
	}
}

// TestStart_hostProc tries to go around the masks through the host's processes, with the right to look into them.
func TestStart_hostProc(t *testing.T) {
	caps, err := shim.Capabilities([]string{"SYS_PTRACE"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink("/proc", link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ source, refused string }{
		{"/proc", "/proc shows the processes of the node"},
		{link, "/proc shows the processes of the node"},
		{"/proc/sys", "/proc/sys shows the processes of the node"},
		{"/", ""}, // with /proc below it
	} {
		t.Run(strings.ReplaceAll(c.source, "/", "_"), func(t *testing.T) {
			b := newBox(t, `for r in /h/[0-9]*/root /h/proc/[0-9]*/root; do cat $r$SECRET 2>/dev/null && echo by $r; done; echo done`)
			b.spec.Process.Env = append(b.spec.Process.Env, "SECRET="+b.secret(t))
			b.spec.Process.Caps = caps
			b.spec.Root.Volumes = []rootfs.Volume{{Source: c.source, Dest: "/h"}}
			r, err := b.tryStart(t)
			if err != nil {
				if c.refused == "" || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("error %v, expected %q", err, c.refused)
				}
				return
			}
			wait(t, r.Done())
			if out := b.output(t); c.refused != "" || out != "done\n" {
				t.Errorf("output %q, expected the refusal %q", out, c.refused)
			}
		})
	}
}

// TestStart_hugeEnvironment passes more than the kernel takes.
func TestStart_hugeEnvironment(t *testing.T) {
	b := newBox(t, "true")
	b.spec.Process.Env = append(b.spec.Process.Env, "HUGE="+strings.Repeat("x", 4<<20))
	if _, err := b.tryStart(t); err == nil || !strings.Contains(err.Error(), "argument list too long") {
		t.Errorf("error %v", err)
	}
	many := newBox(t, `env | grep -c ^V`)
	for i := range 5000 {
		many.spec.Process.Env = append(many.spec.Process.Env, "V"+strings.Repeat("x", 20)+string(rune('a'+i%26))+"="+strings.Repeat("y", 200))
	}
	if e, out := many.run(t); e.Code != 0 {
		t.Errorf("exit %+v, output %q", e, out)
	}
}
