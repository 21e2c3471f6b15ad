package filter_test

import (
	"strings"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/tracking/filter"
)

func TestComparison_Matcher(t *testing.T) {
	cases := map[string]struct {
		c       filter.Comparison
		yes, no []string
	}{
		"Equal":      {filter.Comparison{Op: filter.Eq, Text: "a"}, []string{"a"}, []string{"A", ""}},
		"NotEqual":   {filter.Comparison{Op: filter.Ne, Text: "a"}, []string{"A", ""}, []string{"a"}},
		"In":         {filter.Comparison{Op: filter.In, List: []string{"a", "b"}}, []string{"b"}, []string{"c"}},
		"NotIn":      {filter.Comparison{Op: filter.NotIn, List: []string{"a", "b"}}, []string{"c"}, []string{"b"}},
		"Like":       {filter.Comparison{Op: filter.Like, Text: "%b_d%"}, []string{"abcd", "bäd", "xbxbcdx"}, []string{"aBcd", "bd"}},
		"LikeEnd":    {filter.Comparison{Op: filter.Like, Text: "a%%"}, []string{"a", "ab"}, []string{"ba"}},
		"LikeRunes":  {filter.Comparison{Op: filter.Like, Text: "_"}, []string{"ä", "x"}, []string{"xx", ""}},
		"ILike":      {filter.Comparison{Op: filter.ILike, Text: "ÄB%"}, []string{"äbc", "ÄB"}, []string{"ab"}},
		"RLike":      {filter.Comparison{Op: filter.RLike, Text: "^a.*z$"}, []string{"az", "abz"}, []string{"az1"}},
		"RLikeInner": {filter.Comparison{Op: filter.RLike, Text: "b+"}, []string{"abbc"}, []string{"ac"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			match, err := c.c.Matcher()
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range c.yes {
				if !match(s) {
					t.Errorf("%q does not match", s)
				}
			}
			for _, s := range c.no {
				if match(s) {
					t.Errorf("%q matches", s)
				}
			}
		})
	}
}

// Patterns that take other engines minutes.
func TestComparison_Matcher_time(t *testing.T) {
	text := strings.Repeat("a", 20_000) + "!"
	for _, c := range []filter.Comparison{
		{Op: filter.RLike, Text: "^(a+)+$"},
		{Op: filter.RLike, Text: "^(a|aa)+$"},
		{Op: filter.Like, Text: strings.Repeat("%a", 6) + "b"},
	} {
		match, err := c.Matcher()
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if match(text) {
			t.Errorf("%s %s matches", c.Op, c.Text)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s %s took %s", c.Op, c.Text, d)
		}
	}
}

func TestComparison_Matcher_faults(t *testing.T) {
	for _, c := range []filter.Comparison{
		{Op: filter.RLike, Text: "("}, {Op: filter.RLike, Text: "(?=a)"}, {Op: filter.RLike, Text: strings.Repeat("a", 1001)}, {Op: filter.Gt},
	} {
		if _, err := c.Matcher(); err == nil {
			t.Errorf("%s %s is accepted", c.Op, c.Text)
		}
	}
}
