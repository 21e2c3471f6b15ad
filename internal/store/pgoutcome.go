package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	outcomeWithin = 3 * time.Second
	outcomePause  = 50 * time.Millisecond
	// pgLife tells servers apart between which the number of a transaction may
	// have been given twice: a standby that took over is on another timeline, and
	// a recovery after a crash, which forgets what was not on the disk, forgets
	// the statistics. Every role may ask.
	pgLife = `SELECT coalesce(substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) || ' ' || stats_reset::text, '') FROM pg_stat_bgwriter`
)

// settle finds out whether a commit has happened whose answer was lost with
// the connection: nobody repeats what is stored, or misses what is not.
func (s *pgSession) settle(ctx context.Context, cause error) error {
	status := ""
	if s.xid != "" && ctx.Err() == nil {
		status = s.outcome(ctx)
	}
	var e *pgconn.PgError
	switch {
	case status == "committed":
		return nil
	case status == "aborted", status == "" && s.xid == "" && errors.As(cause, &e):
		return fmt.Errorf("%w: %w: %w", ErrUnavailable, errAgain, cause)
	}
	return fmt.Errorf("%w: %w", errOutcome, cause)
}

// outcome asks the server by a new connection; "" is not known. It never is if
// another server answers, or the same one after a crash.
func (s *pgSession) outcome(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, s.db.settleWithin)
	defer cancel()
	old, life := strconv.FormatUint(uint64(s.conn.PID()), 10), s.life
	for {
		switch status, err := s.ask(ctx, "SELECT txid_status("+s.xid+")"); {
		case !s.lost() && (life == "" || s.life != life):
			return ""
		case err != nil: // the server is away
		case status == "in progress":
			// It does not know yet that nobody listens. Whatever it has done when it ends is final.
			_, _ = s.ask(ctx, "SELECT pg_terminate_backend("+old+")") // if that is not allowed, it ends by itself some time
		default:
			return status
		}
		pause := time.NewTimer(outcomePause)
		select {
		case <-ctx.Done():
			pause.Stop()
			return ""
		case <-pause.C:
		}
	}
}

// ask runs a query outside of a transaction and gives its one text.
func (s *pgSession) ask(ctx context.Context, query string) (string, error) {
	if s.lost() {
		xid := s.xid
		err := s.connect(ctx)
		s.xid = xid
		if err != nil {
			return "", err
		}
	}
	results, err := s.conn.Exec(ctx, query).ReadAll()
	if err != nil || len(results) != 1 || len(results[0].Rows) != 1 {
		return "", errors.Join(err, errors.New("no answer"))
	}
	return string(results[0].Rows[0][0]), nil
}
