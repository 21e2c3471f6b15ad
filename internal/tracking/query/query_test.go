package query

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/tracking/filter"
)

type thing struct {
	n    int64
	name string
}

var order = OrderOf([]filter.Order{{Key: "n", Desc: true}, {Key: "n"}}, map[string]Column[thing]{
	"n":    By("t.n", func(v *thing) any { return v.n }),
	"name": By("t.name", func(v *thing) any { return v.name }),
}, filter.Order{Key: "name"})

func TestOrder(t *testing.T) {
	if got := order.End(); got != " ORDER BY t.n DESC, t.name ASC LIMIT ? OFFSET ?" {
		t.Error(got)
	}
	list := []thing{{3, "a"}, {1, "c"}, {3, "b"}, {2, "d"}, {1, "b"}}
	var seen []string
	for text, first := "", true; first || text != ""; first = false {
		token, err := ParseToken(text, "here")
		if err != nil {
			t.Fatal(err)
		}
		var page []thing
		if page, text, err = order.Cut(append([]thing{}, list...), 2, token); err != nil {
			t.Fatal(err)
		}
		for _, v := range page {
			seen = append(seen, fmt.Sprint(v.n, v.name))
		}
		if text == "" {
			continue
		}
		if _, err := ParseToken(text, "elsewhere"); err == nil {
			t.Error("the token of another search is taken")
		}
		next, err := ParseToken(text, "here")
		if err != nil {
			t.Fatal(err)
		}
		behind, err := order.Behind(next)
		last := page[len(page)-1]
		if diff := cmp.Diff(Of("(t.n < ? OR t.n = ? AND (t.name > ?))", last.n, last.n, last.name), behind); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
	}
	if got := strings.Join(seen, " "); got != "3a 3b 2d 1b 1c" {
		t.Error(got)
	}
}

func TestText(t *testing.T) {
	for _, c := range []struct {
		in   filter.Comparison
		want Clause
	}{
		{filter.Comparison{Op: filter.Eq, Text: "a"}, Of("c = ?", "a")},
		{filter.Comparison{Op: filter.Like, Text: `a\%`}, Of(`c LIKE ? ESCAPE '\'`, `a\\%`)},
		{filter.Comparison{Op: filter.ILike, Text: "A%"}, Of(`lower(c) LIKE lower(?) ESCAPE '\'`, "A%")},
		{filter.Comparison{Op: filter.NotIn, List: []string{"a"}}, Of("c NOT IN (??)", []string{"a"})},
		{filter.Comparison{Op: filter.IsNull}, Of("c IS NULL")},
	} {
		if diff := cmp.Diff(c.want, Text("c", c.in)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		op   filter.Op
		n    float64
		want Clause
	}{
		{filter.Eq, 3, Of("c = ?", int64(3))},
		{filter.Eq, 3.5, Of("1 = 0")},
		{filter.Ne, 3.5, Of("c IS NOT NULL")},
		{filter.Ge, 3.5, Of("c > ?", int64(3))},
		{filter.Le, 3.5, Of("c < ?", int64(4))},
		{filter.Lt, 1e30, Of("c < ?", int64(1<<63-1))},
	} {
		if diff := cmp.Diff(c.want, Number("c", filter.Comparison{Op: c.op, Number: c.n})); diff != "" {
			t.Error(diff)
		}
	}
}

// FuzzParseToken: whatever a client sends is a place in the order or an error.
func FuzzParseToken(f *testing.F) {
	f.Add(Encode(Token{Offset: 3}))
	f.Add(Encode(map[string]any{"q": "here", "last": []any{5, "a"}}))
	f.Add("e30=")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text, "here")
		if err != nil {
			return
		}
		behind, err := order.Behind(token)
		if err != nil {
			return
		}
		if n := strings.Count(behind.SQL, "?"); n != len(behind.Args) {
			t.Errorf("%q: %d arguments for %d places", text, len(behind.Args), n)
		}
	})
}
