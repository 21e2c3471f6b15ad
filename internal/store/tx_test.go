package store_test

import (
	"errors"
	"testing"

	"github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
)

// TestTx_EachOf_badValue: a value that does not fit costs its caller an error,
// not the connection.
func TestTx_EachOf_badValue(t *testing.T) {
	s := storetest.Postgres(t, things)
	none := func(store.Rows) error { return nil }
	err := s.View(t.Context(), func(tx *store.Tx) error {
		var before, after int64
		if err := tx.Row("SELECT pg_backend_pid()").Scan(&before); err != nil {
			return err
		}
		err := tx.EachOf(store.Query{Scan: none, Text: "SELECT 1"}, store.Query{Scan: none, Text: "SELECT ? + 1::BIGINT", Args: []any{"text"}})
		if !errors.Is(err, store.ErrValue) || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%v", err)
		}
		if err := tx.Row("SELECT pg_backend_pid()").Scan(&after); err != nil || after != before {
			t.Errorf("connection %d, before %d: %v", after, before, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
