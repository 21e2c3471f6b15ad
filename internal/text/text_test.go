package text

import (
	"regexp"
	"slices"
	"testing"
)

var verb = regexp.MustCompile(`%(\[\d+\])?[-+# 0]*\d*(\.\d+)?[a-zA-Z]`)

func TestCatalogue_bothLanguagesHaveEachEntry(t *testing.T) {
	m := catalogue()
	for key, en := range m["en"] {
		de := m["de"][key]
		if en == "" || de == "" {
			t.Errorf("%s: an entry is missing (en %q, de %q)", key, en, de)
		}
		a, b := verb.FindAllString(en, -1), verb.FindAllString(de, -1)
		slices.Sort(a)
		slices.Sort(b)
		if !slices.Equal(a, b) {
			t.Errorf("%s: verbs differ: en %v, de %v", key, a, b)
		}
	}
}

func TestDetect(t *testing.T) {
	cases := map[string]struct {
		flag string
		env  map[string]string
		want string
	}{
		"FlagWins":       {flag: "en", env: map[string]string{"LANG": "de_DE.UTF-8"}, want: "en"},
		"LocaleGerman":   {env: map[string]string{"LANG": "de_AT.UTF-8"}, want: "de"},
		"LocaleC":        {env: map[string]string{"LANG": "C.UTF-8"}, want: "en"},
		"NothingSet":     {want: "en"},
		"MessagesBefore": {env: map[string]string{"LC_MESSAGES": "de_DE", "LANG": "en_US"}, want: "de"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Detect(c.flag, func(k string) string { return c.env[k] }); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
