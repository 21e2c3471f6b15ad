package store

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// diary is a listener that writes what it hears where the change is written.
type diary struct {
	refuse    bool
	committed int
}

func (d *diary) Record(t *db.Tx, e model.Event) error {
	if _, err := t.Exec("INSERT INTO diary(line) VALUES(?)", fmt.Sprintf("%s.%s %s/%s v%s @%s %s=%s", e.Entity, e.Action, e.Namespace, e.Name, e.Version, e.Alias, e.Key, e.Value)); err != nil {
		return err
	}
	if d.refuse {
		return errors.New("refused")
	}
	return nil
}

func (d *diary) Committed() { d.committed++ }

func TestListener(t *testing.T) { both(t, testListener) }

func testListener(t *testing.T, open opener) {
	t.Helper()
	s := open(t)
	d := &diary{}
	s.o.Listener = d
	if err := s.db.Update(t.Context(), func(x *db.Tx) error { return x.Script("CREATE TABLE diary(line TEXT NOT NULL)") }); err != nil {
		t.Fatal(err)
	}
	lines := func() (list []string) {
		err := s.db.View(t.Context(), func(x *db.Tx) error {
			return x.Each(func(r db.Rows) error {
				list = append(list, "")
				return r.Scan(&list[len(list)-1])
			}, "SELECT line FROM diary")
		})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	prompt := []model.Pair{{Key: model.PromptTag, Value: "true"}}
	for _, n := range []struct {
		name, source string
		tags         []model.Pair
	}{{"m", "s3://b/x", nil}, {"p", "dummy-source", prompt}} {
		_, err := s.CreateRegisteredModel(t.Context(), "team", n.name, "", n.tags)
		if err == nil {
			_, err = s.CreateModelVersion(t.Context(), "team", NewVersion{Name: n.name, Source: n.source, Tags: n.tags})
		}
		err = errors.Join(
			err,
			s.SetRegisteredModelTag(t.Context(), "team", n.name, model.Pair{Key: "a", Value: "1"}),
			s.DeleteRegisteredModelTag(t.Context(), "team", n.name, "a"),
			s.SetModelVersionTag(t.Context(), "team", n.name, "1", model.Pair{Key: "b", Value: "2"}),
			s.DeleteModelVersionTag(t.Context(), "team", n.name, "1", "b"),
			s.SetAlias(t.Context(), "team", n.name, "best", "1"),
			s.DeleteAlias(t.Context(), "team", n.name, "best"),
		)
		if err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"registered_model.created team/m v @ =", "model_version.created team/m v1 @ =",
		"model_version_tag.set team/m v1 @ b=2", "model_version_tag.deleted team/m v1 @ b=",
		"model_version_alias.created team/m v1 @best =", "model_version_alias.deleted team/m v @best =",
		"prompt.created team/p v @ =", "prompt_version.created team/p v1 @ =",
		"prompt_tag.set team/p v @ a=1", "prompt_tag.deleted team/p v @ a=",
		"prompt_version_tag.set team/p v1 @ b=2", "prompt_version_tag.deleted team/p v1 @ b=",
		"prompt_alias.created team/p v1 @best =", "prompt_alias.deleted team/p v @best =",
	}
	if diff := cmp.Diff(want, lines()); diff != "" || d.committed != len(want) {
		t.Errorf("%s committed %d", diff, d.committed)
	}

	d.refuse = true
	if err := s.SetAlias(t.Context(), "team", "m", "best", "1"); err == nil {
		t.Error("the change was kept without its event")
	}
	if _, err := s.VersionByAlias(t.Context(), "team", "m", "best"); err == nil || len(lines()) != len(want) || d.committed != len(want) {
		t.Errorf("%v, %d lines, committed %d", err, len(lines()), d.committed)
	}
}
