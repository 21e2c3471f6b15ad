package digests_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/kwtest/postgres"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
	"github.com/kiwerk/kiwerk/internal/tracking/digests"
)

func TestMain(m *testing.M) { os.Exit(postgres.Run(m.Run)) }

func TestDigests(t *testing.T) {
	storetest.Both(t, func(t *testing.T, open func(testing.TB, ...db.Migrations) *db.Store) {
		d, err := digests.New(t.Context(), open(t))
		if err != nil {
			t.Fatal(err)
		}
		want := func(info blob.Info, sum string) {
			t.Helper()
			if got, err := d.Of(t.Context(), info); err != nil || got != sum {
				t.Errorf("%+v: %q, %v, want %q", info, got, err, sum)
			}
		}
		info := blob.Info{Key: "0/run/artifacts/m", Version: "1", Size: 3}
		sibling := blob.Info{Key: "0/run/artifacts2", Version: "1"}
		for _, i := range []blob.Info{info, sibling} {
			if err := d.Put(t.Context(), i, []byte{1}); err != nil {
				t.Fatal(err)
			}
		}
		want(info, "01")
		replaced := info
		replaced.Version = "2"
		want(replaced, "")
		if err := d.Put(t.Context(), replaced, []byte{2}); err != nil {
			t.Fatal(err)
		}
		want(replaced, "02")
		want(info, "")
		if err := d.Forget(t.Context(), "0/run/artifacts"); err != nil {
			t.Fatal(err)
		}
		want(replaced, "")
		want(sibling, "01")
		first, err := d.Secret(t.Context(), "parts")
		if err != nil || len(first) != 32 {
			t.Fatalf("%d bytes, %v", len(first), err)
		}
		if second, err := d.Secret(t.Context(), "parts"); err != nil || !bytes.Equal(first, second) {
			t.Errorf("another secret, %v", err)
		}
	})
}
