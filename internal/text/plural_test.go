package text

import "testing"

func TestPrinter_countsInBothLanguages(t *testing.T) {
	for _, c := range []struct {
		lang string
		key  Key
		args []any
		want string
	}{
		{"en", RunsRead, []any{1}, "1 run read"},
		{"en", RunsRead, []any{0}, "0 runs read"},
		{"en", RunsRead, []any{10_000}, "10,000 runs read"},
		{"de", RunsRead, []any{1}, "1 Lauf gelesen"},
		{"de", RunsRead, []any{int64(10_000)}, "10.000 Läufe gelesen"},
		{"en", ImportProgress, []any{int64(1), int64(2), int64(0)}, "1 run, 2 metric points, 0 traces"},
		{"de", ImportProgress, []any{int64(2), int64(1), int64(1)}, "2 Läufe, 1 Metrikpunkt, 1 Trace"},
		{"en", RunExported, []any{"r", "d", 1, "3 B", 1, 0}, "Run r lies in d: 1 file, 3 B; 1 logged model, 0 traces."},
		{"en", RunsDeleted, []any{1, "r"}, "1 run is marked as deleted.\nNext: kiwerk runs restore r | kiwerk runs list --deleted"},
	} {
		if got := For(c.lang).T(c.key, c.args...); got != c.want {
			t.Errorf("%s: %q, want %q", c.lang, got, c.want)
		}
	}
}
