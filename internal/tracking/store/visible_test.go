package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// TestSearch_visible: searches show what the caller may see, page by page, and
// read no more than that.
func TestSearch_visible(t *testing.T) {
	storetest.Both(t, func(t *testing.T, open func(testing.TB, ...db.Migrations) *db.Store) {
		t.Helper()
		s := newStore(t, open(t))
		ctx := t.Context()
		const many = 300
		var ids []string
		for i := range many {
			name := fmt.Sprintf("n%03d", i)
			id, err := s.CreateExperiment(ctx, "default", name, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, fmt.Sprint(id))
			source, tags := "s3://b/x", []model.Pair(nil)
			if i%2 == 1 {
				source, tags = "dummy-source", []model.Pair{{Key: model.PromptTag, Value: "true"}, {Key: "mlflow.prompt.text", Value: "x"}}
			}
			if _, err := s.CreateRegisteredModel(ctx, "default", name, "", tags); err != nil {
				t.Fatal(err)
			}
			if i < 40 {
				if _, err := s.CreateModelVersion(ctx, "default", NewVersion{Name: name, Source: source, Tags: tags}); err != nil {
					t.Fatal(err)
				}
			}
		}
		only := func(list ...string) model.Names { return model.Names{List: list} }
		but := func(list ...string) model.Names { return model.Names{All: true, List: list} }
		experiments := func(v *model.Visible) []string {
			return pagesOf(t, Query{Max: 2, OrderBy: []string{"name ASC"}, Visible: v}, func(q Query) ([]string, string, error) {
				list, next, err := s.SearchExperiments(ctx, "default", q)
				return idsFrom(list, func(e model.Experiment) string { return e.Name }), next, err
			})
		}
		registered := func(filter string) func(v *model.Visible) []string {
			return func(v *model.Visible) []string {
				return pagesOf(t, Query{Max: 2, Filter: filter, Visible: v}, func(q Query) ([]string, string, error) {
					list, next, err := s.SearchRegisteredModels(ctx, "default", q)
					return idsFrom(list, func(m model.RegisteredModel) string { return m.Name }), next, err
				})
			}
		}
		versions := func(filter string) func(v *model.Visible) []string {
			return func(v *model.Visible) []string {
				return pagesOf(t, Query{Max: 2, Filter: filter, OrderBy: []string{"name ASC"}, Visible: v}, func(q Query) ([]string, string, error) {
					list, next, err := s.SearchModelVersions(ctx, "default", q)
					return idsFrom(list, func(m model.ModelVersion) string { return m.Name }), next, err
				})
			}
		}
		const prompts = "tags.`mlflow.prompt.is_prompt` = 'true'"
		for name, c := range map[string]struct {
			search func(*model.Visible) []string
			see    *model.Visible
			want   []string
			count  int
		}{
			"Experiments":        {search: experiments, see: &model.Visible{Experiments: only(ids[7], ids[100], ids[299])}, want: []string{"n007", "n100", "n299"}},
			"NoExperiments":      {search: experiments, see: &model.Visible{}},
			"AllExperiments":     {search: experiments, see: nil, count: many + 1},
			"ExperimentsBut":     {search: experiments, see: &model.Visible{Experiments: but(ids[0], "0")}, count: many - 1},
			"Models":             {search: registered(""), see: &model.Visible{Models: only("n006", "n007", "n008"), Prompts: but()}, want: []string{"n006", "n008"}},
			"ModelsNotPrompts":   {search: registered(""), see: &model.Visible{Models: but("n000"), Prompts: only()}, count: many/2 - 1},
			"NoModels":           {search: registered(""), see: &model.Visible{Prompts: but()}},
			"Prompts":            {search: registered(prompts), see: &model.Visible{Prompts: only("n006", "n007", "n009")}, want: []string{"n007", "n009"}},
			"Versions":           {search: versions(""), see: &model.Visible{Models: only("n006", "n008", "n200"), Prompts: but()}, want: []string{"n006", "n008"}},
			"VersionsBut":        {search: versions(""), see: &model.Visible{Models: but("n006"), Prompts: but()}, count: 19},
			"NoVersions":         {search: versions(""), see: &model.Visible{Models: but(), Prompts: but(), NoVersions: true}},
			"VersionsOfPrompts":  {search: versions(prompts), see: &model.Visible{Models: but(), Prompts: only("n007")}, want: []string{"n007"}},
			"NoVersionsOfPrompt": {search: versions(prompts), see: &model.Visible{Models: but(), Prompts: but(), NoPromptVersions: true}},
		} {
			t.Run(name, func(t *testing.T) {
				plans := explained(t, s, func() {
					got := c.search(c.see)
					if c.count > 0 && len(got) != c.count || c.count == 0 && !slices.Equal(got, c.want) {
						t.Errorf("got %d: %v, diff %s", len(got), got, cmp.Diff(c.want, got))
					}
				})
				if c.want == nil {
					return // much may be seen
				}
				for _, p := range plans {
					if readsAll(s.db.Dialect(), p) {
						t.Errorf("a whole table or namespace is read:\n%s", p)
					}
				}
			})
		}
	})
}

// readsAll finds what reads more than the objects of a list.
func readsAll(d db.Dialect, plan string) bool {
	for line := range strings.SplitSeq(plan, "\n") {
		if d == db.Postgres {
			if strings.Contains(line, "Seq Scan on") {
				return true
			}
			continue
		}
		table := strings.HasPrefix(line, "SCAN e") || strings.HasPrefix(line, "SCAN g") || strings.HasPrefix(line, "SCAN v")
		if table || strings.HasPrefix(line, "SEARCH") && strings.Contains(line, "(namespace=?)") {
			return true
		}
	}
	return false
}

func pagesOf(t *testing.T, q Query, search func(Query) ([]string, string, error)) (all []string) {
	t.Helper()
	for {
		list, next, err := search(q)
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, list...); next == "" {
			return all
		}
		if len(list) != q.Max {
			t.Fatalf("a page of %d before the last", len(list))
		}
		q.Token = next
	}
}

func idsFrom[T any](list []T, name func(T) string) (out []string) {
	for _, v := range list {
		out = append(out, name(v))
	}
	return out
}
