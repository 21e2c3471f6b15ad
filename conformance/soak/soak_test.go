package soak

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/kwtest/postgres"
)

var (
	long   = flag.Bool("long", false, "the long form")
	report = flag.String("report", "", "file that gets the figures")
)

// pick chooses between the short form and the long one.
func pick[T any](short, full T) T {
	if *long {
		return full
	}
	return short
}

var noted struct {
	sync.Mutex
	lines []string
}

// notef keeps a figure for the report.
func notef(t *testing.T, format string, args ...any) {
	t.Helper()
	line := fmt.Sprintf("%s: ", t.Name()) + fmt.Sprintf(format, args...)
	t.Log(line)
	noted.Lock()
	defer noted.Unlock()
	noted.lines = append(noted.lines, line)
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if *report != "" && code == 0 {
		text := "What `make soak` saw: writers of `kiwerk tracking serve` that check afterwards what they wrote.\n\n"
		for _, l := range noted.lines {
			text += l + "\n"
		}
		if err := os.WriteFile(filepath.Clean(*report), []byte(text), 0o644); err != nil { //nolint:gosec // It is documentation.
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// engines runs a test with each database.
func engines(t *testing.T, test func(t *testing.T, s *server)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) { test(t, newServer(t, "")) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, newServer(t, postgres.Start(t).URI())) })
}

// TestWriters: 64 writers at once; no request fails, nothing is lost or there twice.
func TestWriters(t *testing.T) {
	engines(t, func(t *testing.T, s *server) {
		length := pick(4*time.Second, 5*time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), length)
		defer cancel()
		writers := newTeam(t.Context(), t, s, 64, false)
		writers.work(ctx).Wait()
		sum := writers.check(t.Context(), t)
		if sum.rounds < len(writers) {
			t.Errorf("only %d rounds in %v", sum.rounds, length)
		}
		notef(t, "64 writers for %v: %d requests, %d points, 0 errors, 0 lost, 0 twice", length, sum.rounds*4, sum.points)
	})
}

// TestKill: the server is killed at random moments under load; what it had
// acknowledged is there.
func TestKill(t *testing.T) {
	engines(t, func(t *testing.T, s *server) {
		kills := pick(4, 50)
		writers := newTeam(t.Context(), t, s, 16, true)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		wg := writers.work(ctx)
		random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // Moments, not secrets.
		for range kills {
			time.Sleep(time.Duration(100+random.IntN(400)) * time.Millisecond) // load between two crashes
			s.Kill()
			s.Restart()
		}
		cancel()
		wg.Wait()
		sum := writers.check(t.Context(), t)
		if sum.failures == 0 {
			t.Error("no writer noticed a crash: the test shows nothing")
		}
		notef(t, "%d kills: %d rounds acknowledged, %d attempts failed and were repeated, %d points read back, 0 lost, 0 twice", kills, sum.rounds, sum.failures, sum.points)
	})
}

// awaitRefusal returns when a writer has heard 503. A short outage goes by
// without: the server waits to learn what has become of a commit.
func awaitRefusal(t *testing.T, writers team, before int64) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(time.Minute); writers.refused() == before; {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the database is away, and no writer hears 503")
		}
	}
}

// TestPostgresRestart: the database goes away under load. Clients hear 503,
// lose nothing, and the server recovers by itself.
func TestPostgresRestart(t *testing.T) {
	pg := postgres.Start(t)
	s := newServer(t, pg.URI())
	writers := newTeam(t.Context(), t, s, 16, true)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wg := writers.work(ctx)
	restarts := pick(2, 10)
	for range restarts {
		time.Sleep(500 * time.Millisecond) // load between two restarts
		before := writers.refused()
		pg.Stop()
		awaitRefusal(t, writers, before)
		if err := pg.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Await()
	}
	time.Sleep(500 * time.Millisecond) // the server works again
	cancel()
	wg.Wait()
	sum := writers.check(t.Context(), t)
	if sum.failures != sum.unavailable {
		t.Errorf("%d of %d failures were not a 503", sum.failures-sum.unavailable, sum.failures)
	}
	notef(t, "%d restarts of the database: %d rounds acknowledged, %d requests answered with 503 and repeated, %d points read back, 0 lost, 0 twice", restarts, sum.rounds, sum.unavailable, sum.points)
}
