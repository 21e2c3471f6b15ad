package tracking

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/gc"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
)

// workspaced are the tables of all parts whose rows belong to a workspace by
// themselves; the rows of others follow them. Unique is what must differ
// within a workspace. Without what, rows are no content: they wait for some and
// are cleared with it. A test finds tables that are missing here.
var workspaced = []struct{ table, what, unique string }{
	{"webhooks", "webhooks", ""},
	{"registered_models", "registered models", "name"},
	{"experiments", "experiments", "name"},
	{"traces", "traces", "trace_id"},
	{"trace_links_ahead", "", ""},
	{"genai_objects", "datasets, scorers and reviews", ""},
	{"mcp_servers", "MCP servers", "name"},
}

// Held implements workspaces.Contents.
func (s *Service) Held(t *db.Tx, workspace string) (string, error) {
	var held []string
	for _, w := range workspaced {
		if w.what == "" {
			continue
		}
		var n int64
		if err := t.Row("SELECT count(*) FROM "+w.table+" WHERE namespace = ?", workspace).Scan(&n); err != nil {
			return "", err
		}
		if n > 0 {
			held = append(held, fmt.Sprintf("%d in %s", n, w.what))
		}
	}
	return strings.Join(held, ", "), nil
}

// Holds implements workspaces.Contents. Scorers follow their experiments.
func (s *Service) Holds(t *db.Tx, o model.Owned) (bool, error) {
	var id any = o.ID
	query := ""
	switch o.Kind {
	case model.OwnedExperiment, model.OwnedScorer:
		number, _, _ := strings.Cut(o.ID, "/")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return false, nil //nolint:nilerr // It names no experiment, "*" for one.
		}
		id, query = n, "SELECT count(*) FROM experiments WHERE namespace = ? AND id = ?"
	case model.OwnedModel, model.OwnedPrompt:
		query = "SELECT count(*) FROM registered_models WHERE namespace = ? AND name = ?"
	case model.OwnedMCPServer:
		query = "SELECT count(*) FROM mcp_servers WHERE namespace = ? AND name = ?"
	default:
		return false, nil
	}
	var n int64
	err := t.Row(query, o.Namespace, id).Scan(&n)
	return n > 0, err
}

// Move implements workspaces.Contents.
func (s *Service) Move(t *db.Tx, from, to string) error {
	if err := renameDefault(t, from, to); err != nil {
		return err
	}
	if err := s.distinct(t, from, to); err != nil {
		return err
	}
	for _, w := range workspaced {
		_, err := t.Exec("UPDATE "+w.table+" SET namespace = ? WHERE namespace = ?", to, from)
		if errors.Is(err, db.ErrConflict) {
			return conflicting(from, to, cmp.Or(w.what, w.table))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// renameDefault names the default experiment of a workspace after it, if the
// other one has its own: most have one, made by their first run.
func renameDefault(t *db.Tx, from, to string) error {
	taken := func(name string) (n int64, err error) {
		err = t.Row("SELECT count(DISTINCT namespace) FROM experiments WHERE name = ? AND namespace IN (?, ?)", name, from, to).Scan(&n)
		return n, err
	}
	if n, err := taken(store.DefaultExperiment); err != nil || n < 2 {
		return err
	}
	name := fmt.Sprintf("%s (%s)", store.DefaultExperiment, from)
	for i := 2; ; i++ {
		n, err := taken(name)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		name = fmt.Sprintf("%s (%s %d)", store.DefaultExperiment, from, i)
	}
	_, err := t.Exec("UPDATE experiments SET name = ? WHERE namespace = ? AND name = ?", name, from, store.DefaultExperiment)
	return err
}

// distinct refuses names that both workspaces have.
func (s *Service) distinct(t *db.Tx, from, to string) error {
	const most = 10
	for _, w := range workspaced {
		if w.unique == "" {
			continue
		}
		var both []string
		err := t.Each(func(r db.Rows) error {
			var name string
			err := r.Scan(&name)
			both = append(both, strconv.Quote(name))
			return err
		}, "SELECT "+w.unique+" FROM "+w.table+" WHERE namespace = ? AND "+w.unique+" IN (SELECT "+w.unique+" FROM "+w.table+" WHERE namespace = ?) ORDER BY 1 LIMIT ?", from, to, most)
		if err != nil {
			return err
		}
		if len(both) > 0 {
			return conflicting(from, to, w.what+": "+strings.Join(both, ", "))
		}
	}
	return nil
}

func conflicting(from, to, what string) error {
	return model.Invalid("Cannot reassign resources from workspace '%s' to '%s': the following names exist in both: %s. Rename one of each first, or delete it and remove it for good with `kiwerk runs gc`: what is only marked as deleted counts.", from, to, what)
}

// Clear implements workspaces.Contents. Webhooks go first, so that nobody is
// told of what follows, and files before the records that name them.
func (s *Service) Clear(ctx context.Context, workspace string) error {
	for _, w := range workspaced {
		var err error
		switch w.table {
		case "experiments":
			err = s.clearExperiments(ctx, workspace)
		case "traces":
			err = s.traces.Clear(ctx, workspace) // and what waits for them
		case "trace_links_ahead":
		default:
			err = s.clearTable(ctx, workspace, w.table)
		}
		if err != nil {
			return err
		}
	}
	s.changes.send(Change{})
	return nil
}

// clearChunk is how many rows, with all that hangs on them, go in one transaction.
const clearChunk = 100

func (s *Service) clearTable(ctx context.Context, workspace, table string) error {
	for n := int64(1); n > 0; {
		err := s.db.Update(ctx, func(t *db.Tx) (err error) {
			n, err = t.Exec("DELETE FROM "+table+" WHERE id IN (SELECT id FROM "+table+" WHERE namespace = ? ORDER BY id LIMIT ?)", workspace, clearChunk)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// clearExperiments removes experiments one after the other: marks it as
// deleted, so that nothing comes in, and lets gc take it away.
func (s *Service) clearExperiments(ctx context.Context, workspace string) error {
	for {
		id, deleted, err := s.anExperiment(ctx, workspace)
		if err != nil || id == "" {
			return err
		}
		if !deleted {
			if err := s.store.SetExperimentDeleted(ctx, workspace, id, true); err != nil {
				return err
			}
		}
		// The whole folder at once; gc then finds only what lies elsewhere.
		if err := s.removeFolder(ctx, artifactRoot+"/"+id); err != nil {
			return err
		}
		for more := true; more; {
			done, err := s.gc.RemoveFrom(ctx, workspace, &gc.Request{Experiments: []string{id}})
			if err != nil {
				return err
			}
			more = done.More
		}
	}
}

// anExperiment is any of a workspace; "" is none.
func (s *Service) anExperiment(ctx context.Context, workspace string) (id string, deleted bool, err error) {
	err = s.db.View(ctx, func(t *db.Tx) error {
		var n, stage int64
		err := t.Row("SELECT id, stage FROM experiments WHERE namespace = ? ORDER BY id LIMIT 1", workspace).Scan(&n, &stage)
		if db.IsNoRows(err) {
			return nil
		}
		id, deleted = strconv.FormatInt(n, 10), stage != 0
		return err
	})
	return id, deleted, err
}
