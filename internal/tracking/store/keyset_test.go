package store

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// TestSearch_pagesContinue: rows that come and go between pages neither hide nor repeat others.
func TestSearch_pagesContinue(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		s := open(t)
		var names []string
		for i := range 9 {
			n := fmt.Sprintf("m%d", i)
			names = append(names, n)
			if _, err := s.CreateRegisteredModel(t.Context(), "default", n, "", nil); err != nil {
				t.Fatal(err)
			}
			if _, err := s.CreateModelVersion(t.Context(), "default", NewVersion{Name: n, Source: "s3://b/" + n}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.CreateExperiment(t.Context(), "default", n, "", nil); err != nil {
				t.Fatal(err)
			}
		}
		searches := map[string]func(Query) ([]string, string, error){
			"experiments": func(q Query) ([]string, string, error) {
				q.Filter = "name LIKE 'm%'"
				list, next, err := s.SearchExperiments(t.Context(), "default", q)
				return listed(list, func(e model.Experiment) string { return e.Name }), next, err
			},
			"registered": func(q Query) ([]string, string, error) {
				list, next, err := s.SearchRegisteredModels(t.Context(), "default", q)
				return listed(list, func(m model.RegisteredModel) string { return m.Name }), next, err
			},
			"versions": func(q Query) ([]string, string, error) {
				list, next, err := s.SearchModelVersions(t.Context(), "default", q)
				return listed(list, func(v model.ModelVersion) string { return v.Name }), next, err
			},
		}
		for kind, search := range searches {
			for _, orders := range [][]string{nil, {"name"}, {"name DESC"}} {
				first, token, err := search(Query{Max: 4, OrderBy: orders})
				if err != nil || token == "" {
					t.Fatalf("%s %v: %v, token %q", kind, orders, err, token)
				}
				var seen []string
				for seen = first; token != ""; {
					var page []string
					if page, token, err = search(Query{Max: 4, OrderBy: orders, Token: token}); err != nil {
						t.Fatal(err)
					}
					seen = append(seen, page...)
				}
				slices.Sort(seen)
				if !slices.Equal(seen, names) {
					t.Errorf("%s %v: %v", kind, orders, seen)
				}
			}
		}
		// The first of two rows of page 1 goes before page 2 is asked for.
		first, token, err := searches["registered"](Query{Max: 2})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.DeleteRegisteredModel(t.Context(), "default", first[0]); err != nil {
			t.Fatal(err)
		}
		if page, _, err := searches["registered"](Query{Max: 2, Token: token}); err != nil || strings.Join(page, " ") != "m2 m3" {
			t.Errorf("page 2 is %v, %v", page, err)
		}
		for _, bad := range []string{`{"last":[5]}`, `{"last":["\u0000"]}`, `{"last":[1,2]}`, `{"last":[{}]}`} {
			encoded := base64.StdEncoding.EncodeToString([]byte(bad))
			if _, _, err := searches["registered"](Query{Max: 2, Token: encoded}); !strings.Contains(fmt.Sprint(err), "page token") {
				t.Errorf("%s: %v", bad, err)
			}
		}
	})
}

func listed[T any](list []T, name func(T) string) (out []string) {
	for _, v := range list {
		out = append(out, name(v))
	}
	return out
}
