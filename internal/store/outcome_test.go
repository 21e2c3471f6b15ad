package store_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/kiwerk/kiwerk/internal/kwtest/postgres"
	"github.com/kiwerk/kiwerk/internal/store"
)

// How the wire is cut at a commit.
const (
	whole  = iota
	before // the commit does not arrive
	after  // its answer does not
	half   // the commit does not arrive, and the server hears nothing of the end
	gone   // its answer does not, and nobody can connect any more
	taken  // the commit does not arrive, and from then on another server answers
)

// wire stands between the store and PostgreSQL and cuts connections.
type wire struct {
	t *testing.T

	mu     sync.Mutex
	server string
	// other takes over at a cut.
	other string
	cut   int // the next commit
	shut  bool
	open  []net.Conn
}

// through gives the URI of a database behind a wire.
func through(t *testing.T, uri string) (*wire, string) {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	w := &wire{t: t, server: socketOf(t, uri)}
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { w.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close() // it is not needed any more
		w.mu.Lock()
		for _, c := range w.open {
			_ = c.Close() // nor are these
		}
		w.mu.Unlock()
		running.Wait()
	})
	q.Set("host", dir)
	u.RawQuery = q.Encode()
	return w, u.String()
}

func socketOf(t *testing.T, uri string) string {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432")
}

func (w *wire) serve(client net.Conn) {
	defer client.Close()
	w.mu.Lock()
	shut, at := w.shut, w.server
	w.mu.Unlock()
	if shut {
		return
	}
	server, err := net.Dial("unix", at)
	if err != nil {
		return
	}
	w.mu.Lock()
	w.open = append(w.open, client, server)
	w.mu.Unlock()
	var swallow atomic.Bool
	done := make(chan bool)
	go func() {
		defer close(done)
		defer client.Close()
		buf := make([]byte, 1<<16)
		for {
			n, err := server.Read(buf)
			if err != nil || swallow.Load() && bytes.Contains(buf[:n], []byte("COMMIT")) {
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	w.requests(client, server, &swallow)
	<-done
}

// requests passes on what the client sends until the connection ends or is cut.
func (w *wire) requests(client, server net.Conn, swallow *atomic.Bool) {
	buf := make([]byte, 1<<16)
	for {
		n, err := client.Read(buf)
		how := whole
		if bytes.Contains(buf[:n], []byte("COMMIT")) {
			w.mu.Lock()
			how, w.cut = w.cut, whole
			w.shut = how == gone
			if how == taken {
				w.server = w.other
			}
			w.mu.Unlock()
		}
		switch how {
		case half:
			_ = client.Close() // the server goes on to wait for it
			return
		case before, taken:
			err = io.EOF
		case after, gone:
			swallow.Store(true)
		}
		if err == nil {
			_, err = server.Write(buf[:n])
		}
		if err != nil {
			_ = client.Close()
			_ = server.Close()
			return
		}
	}
}

// TestUpdate_unknownOutcome: a connection that is cut at a commit leaves nobody
// in doubt: what was stored is not stored again, and what was not is.
func TestUpdate_unknownOutcome(t *testing.T) {
	for name, how := range map[string]int{"Before": before, "After": after, "Half": half} {
		t.Run(name, func(t *testing.T) {
			w, s := cuttable(t)
			calls := 0
			w.next(how)
			err := s.Update(t.Context(), func(tx *store.Tx) error {
				calls++
				return insert("a")(tx)
			})
			if err != nil {
				t.Fatal(err)
			}
			if want := map[bool]int{true: 1, false: 2}[how == after]; calls != want {
				t.Errorf("it ran %d times, want %d", calls, want)
			}
			var n int
			if err := s.View(t.Context(), func(tx *store.Tx) error { return tx.Row("SELECT count(*) FROM things").Scan(&n) }); err != nil || n != 1 {
				t.Errorf("%d rows, %v", n, err)
			}
		})
	}
	t.Run("Gone", func(t *testing.T) {
		w, s := cuttable(t)
		store.SettleWithin(s, 100*time.Millisecond)
		w.next(gone)
		if err := s.Update(t.Context(), insert("a")); !inDoubt(err) {
			t.Errorf("%v", err)
		}
	})
}

func inDoubt(err error) bool {
	return errors.Is(err, store.ErrUnavailable) && strings.Contains(err.Error(), "may be stored")
}

// TestUpdate_otherServer: one that took over knows the number of the
// transaction, but as that of somebody else's.
func TestUpdate_otherServer(t *testing.T) {
	w, s := cuttable(t)
	other := postgres.Start(t, "-c", "fsync=off").URI()
	err := s.Update(t.Context(), func(tx *store.Tx) error {
		var number int64
		if err := tx.Row("SELECT txid_current()").Scan(&number); err != nil {
			return err
		}
		return spend(t, other, number+100)
	})
	if err != nil {
		t.Fatal(err)
	}
	w.other = socketOf(t, other)
	w.next(taken)
	if err := s.Update(t.Context(), insert("a")); !inDoubt(err) {
		t.Errorf("%v", err)
	}
}

// spend commits transactions up to a number.
func spend(t *testing.T, uri string, number int64) error {
	t.Helper()
	c, err := pgconn.Connect(t.Context(), uri)
	if err != nil {
		return err
	}
	for err == nil {
		var results []*pgconn.Result
		if results, err = c.Exec(t.Context(), "SELECT txid_current() > "+strconv.FormatInt(number, 10)).ReadAll(); err == nil && string(results[0].Rows[0][0]) == "t" {
			break
		}
	}
	return errors.Join(err, c.Close(t.Context()))
}

func cuttable(t *testing.T) (*wire, *store.Store) {
	t.Helper()
	w, uri := through(t, postgres.URI(t))
	s, err := store.Open(t.Context(), store.Options{Path: uri, Migrations: []store.Migrations{things}, Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // its connections may be gone
	return w, s
}

func (w *wire) next(how int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = how
}
