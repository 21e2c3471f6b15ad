package store

import (
	"context"
	"fmt"
	"strings"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// Spared is a logged model that an erased run made and that stays, as versions of registered models use it.
type Spared struct {
	ID        string `json:"id"`
	Artifacts string `json:"artifacts"`
	// UsedBy are these versions, as MODEL/VERSION.
	UsedBy []string `json:"used_by"`
}

// MarkErased marks runs as deleted, with the logged models that they made; what
// of these versions of registered models use it spares. A run that does not
// exist is no error: a call before may have removed it.
func (s *Store) MarkErased(ctx context.Context, namespace string, runs []string) (spared []Spared, err error) {
	err = s.update(ctx, func(t *tx) error {
		for _, id := range runs {
			r, err := t.runInfo(namespace, id)
			if model.IsMissing(err) {
				continue
			}
			if err != nil {
				return err
			}
			if _, err := t.Exec("UPDATE runs SET stage = 1, deleted_at = ? WHERE id = ?", t.now, r.Row); err != nil {
				return err
			}
		}
		var made []int64
		if made, spared, err = t.madeBy(namespace, runs); err != nil {
			return err
		}
		for _, row := range made {
			if _, err := t.Exec("UPDATE logged_models SET stage = 1, updated = ? WHERE id = ?", t.now, row); err != nil {
				return err
			}
		}
		return nil
	})
	return spared, err
}

// madeBy finds the logged models of runs: the rows of those that nothing uses, and the others.
func (t *tx) madeBy(namespace string, runs []string) (free []int64, used []Spared, err error) {
	args := []any{namespace}
	for _, id := range runs {
		args = append(args, id)
	}
	err = t.Each(func(r db.Rows) error {
		var row, version int64
		var m Spared
		var name string
		if err := r.Scan(&row, &m.ID, &m.Artifacts, &name, &version); err != nil {
			return err
		}
		if version == 0 {
			free = append(free, row)
			return nil
		}
		if n := len(used); n == 0 || used[n-1].ID != m.ID {
			used = append(used, m)
		}
		last := &used[len(used)-1]
		last.UsedBy = append(last.UsedBy, fmt.Sprintf("%s/%d", name, version))
		return nil
	}, `SELECT m.id, m.uuid, m.uri, coalesce(u.name, ''), coalesce(u.version, 0)
		FROM logged_models m JOIN experiments e ON e.id = m.exp
		LEFT JOIN (SELECT g.namespace, g.name, v.version, v.model_id, v.storage_location AS location
			FROM model_versions v JOIN registered_models g ON g.id = v.model WHERE v.deleted = 0) u
			ON u.namespace = e.namespace AND (u.model_id = m.uuid OR u.location = m.uri OR substr(u.location, 1, length(m.uri) + 1) = m.uri || '/')
		WHERE e.namespace = ? AND m.stage = 0 AND m.source_run IN (?`+strings.Repeat(", ?", len(runs)-1)+`)
		ORDER BY m.uuid, u.name, u.version`, args...)
	return free, used, err
}
