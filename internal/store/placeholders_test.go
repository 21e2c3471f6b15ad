package store

import "testing"

func TestToPostgres(t *testing.T) {
	for in, want := range map[string]string{
		"a = ? AND b = ?":                           "a = $1 AND b = $2",
		"?1 + ?2 + ?1":                              "$1 + $2 + $1",
		"x IN (??) AND y not in (??) AND z = ?":     "x = ANY($1) AND y <> ALL($2) AND z = $3",
		`'it''s ?' || "a?" = ? -- ?` + "\n/* ? */?": `'it''s ?' || "a?" = $1 -- ?` + "\n/* ? */$2",
		"'open ?": "'open ?",
		"":        "",
	} {
		if got := toPostgres(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
