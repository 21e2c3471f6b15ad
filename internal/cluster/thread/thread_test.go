//go:build linux

package thread_test

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cluster/thread"
)

func TestOwn(t *testing.T) {
	before, err := os.Readlink("/proc/self/ns/uts")
	if err != nil {
		t.Fatal(err)
	}
	failed := errors.New("failed")
	for range 100 {
		var inside string
		err := thread.Own(func() error {
			if unix.Gettid() == os.Getpid() {
				t.Error("on the first thread")
			}
			// As root it changes the thread; otherwise only the thread itself is looked at.
			_ = unix.Unshare(unix.CLONE_NEWUTS)
			inside, _ = os.Readlink("/proc/thread-self/ns/uts")
			return failed
		})
		if !errors.Is(err, failed) {
			t.Fatalf("got %v", err)
		}
		if os.Geteuid() == 0 && inside == before {
			t.Fatal("the thread was not changed")
		}
		if now, _ := os.Readlink("/proc/thread-self/ns/uts"); now != before {
			t.Fatalf("a changed thread is left: %s, want %s", now, before)
		}
	}
}
