package store

import (
	"context"
	"encoding/json"
	"strings"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

const runColumns = `r.id, r.uuid, r.exp, r.stage, r.start, r."end", r.status, r.name, r."user", r.uri`

func scanRun(scan func(...any) error) (r model.RunInfo, err error) {
	err = scan(&r.Row, &r.ID, &r.ExperimentID, &r.Deleted, &r.Start, &r.End, &r.Status, &r.Name, &r.User, &r.ArtifactURI)
	return r, err
}

// runInfo finds a run of a namespace, also a deleted one.
func (t *tx) runInfo(namespace, id string) (r model.RunInfo, err error) {
	r, err = scanRun(t.Row("SELECT "+runColumns+" FROM runs r JOIN experiments e ON e.id = r.exp WHERE r.uuid = ? AND e.namespace = ?", id, namespace).Scan)
	if db.IsNoRows(err) {
		return r, model.Missing("Run with id=%s not found", id)
	}
	r.Namespace = namespace
	return r, err
}

// activeRun is one that can be written to.
func (t *tx) activeRun(namespace, id string) (model.RunInfo, error) {
	r, err := t.runInfo(namespace, id)
	if err == nil && r.Deleted {
		err = notActive(id)
	}
	return r, err
}

// changingRun is an active run that no other copy of the program changes until the commit.
func (t *tx) changingRun(namespace, id string) (model.RunInfo, error) {
	if err := t.Hold("SELECT id FROM runs WHERE uuid = ?", id); err != nil {
		return model.RunInfo{}, err
	}
	return t.activeRun(namespace, id)
}

func notActive(id string) error {
	return model.Invalid("The run %s must be in the 'active' state. Current state is deleted.", id)
}

// NewRun is what a run begins with.
type NewRun struct {
	Experiment, User, Name string
	Start                  int64
	Tags                   []model.Pair
}

// CreateRun begins a run.
func (s *Store) CreateRun(ctx context.Context, namespace string, n NewRun) (run model.Run, err error) {
	if err := model.CheckTags("tags", n.Tags); err != nil {
		return run, err
	}
	id := s.o.NewID()
	for _, t := range n.Tags {
		if t.Key != model.TagRunName {
			continue
		}
		if n.Name != "" && t.Value != n.Name {
			return run, model.Invalid("Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values (run_name='%s', mlflow.runName='%s').", n.Name, t.Value)
		}
		n.Name = t.Value
	}
	if n.Name == "" {
		n.Name = randomName(id)
	}
	tags := withTag(n.Tags, model.Pair{Key: model.TagRunName, Value: n.Name})
	err = s.update(ctx, func(t *tx) error {
		e, err := t.activeExperiment(namespace, n.Experiment)
		if err != nil {
			return err
		}
		info := model.RunInfo{
			ID: id, Name: n.Name, ExperimentID: e.ID, Namespace: namespace, User: n.User, Status: model.Running,
			Start: n.Start, ArtifactURI: e.ArtifactLocation + "/" + id + "/artifacts",
		}
		err = t.Row(`INSERT INTO runs(uuid, exp, start, status, name, "user", uri) VALUES(?, ?, ?, ?, ?, ?, ?) RETURNING id`,
			id, e.ID, info.Start, info.Status, info.Name, info.User, info.ArtifactURI).Scan(&info.Row)
		if err != nil {
			return err
		}
		run = model.Run{RunInfo: info, Tags: tags}
		return t.putTags(info, tags)
	})
	return run, err
}

// withTag adds a tag unless it is there.
func withTag(tags []model.Pair, tag model.Pair) []model.Pair {
	out := append([]model.Pair{}, tags...)
	for _, t := range tags {
		if t.Key == tag.Key {
			return out
		}
	}
	return append(out, tag)
}

// RunInfo finds a run without what was logged to it.
func (s *Store) RunInfo(ctx context.Context, namespace, id string) (r model.RunInfo, err error) {
	err = s.view(ctx, func(t *tx) error {
		r, err = t.runInfo(namespace, id)
		return err
	})
	return r, err
}

// Run finds a run.
func (s *Store) Run(ctx context.Context, namespace, id string) (run model.Run, err error) {
	err = s.view(ctx, func(t *tx) error {
		info, err := t.runInfo(namespace, id)
		if err != nil {
			return err
		}
		list := []model.Run{{RunInfo: info}}
		if _, err := t.hydrate(list); err != nil {
			return err
		}
		run = list[0]
		return nil
	})
	return run, err
}

// RunChange is what update changes; nil leaves a field.
type RunChange struct {
	Status *model.RunStatus
	End    *int64
	Name   *string
}

// UpdateRun changes an active run.
func (s *Store) UpdateRun(ctx context.Context, namespace, id string, c RunChange) (r model.RunInfo, err error) {
	err = s.update(ctx, func(t *tx) error {
		if r, err = t.changingRun(namespace, id); err != nil {
			return err
		}
		if c.Status != nil {
			r.Status = *c.Status
		}
		if c.End != nil {
			r.End = *c.End
		}
		if err := t.Later(`UPDATE runs SET status = ?, "end" = ? WHERE id = ?`, r.Status, r.End, r.Row); err != nil {
			return err
		}
		if c.Name != nil && *c.Name != "" {
			return t.renameRun(&r, *c.Name)
		}
		return nil
	})
	return r, err
}

// renameRun keeps name and tag the same.
func (t *tx) renameRun(r *model.RunInfo, name string) error {
	r.Name = name
	if err := t.Later("UPDATE runs SET name = ? WHERE id = ?", name, r.Row); err != nil {
		return err
	}
	return t.putPair("run_tags", *r, model.Pair{Key: model.TagRunName, Value: name})
}

// SetRunDeleted deletes or restores a run.
func (s *Store) SetRunDeleted(ctx context.Context, namespace, id string, deleted bool) error {
	return s.update(ctx, func(t *tx) error {
		r, err := t.runInfo(namespace, id)
		if err != nil {
			return err
		}
		at := t.now
		if !deleted {
			at = 0
		}
		_, err = t.Exec("UPDATE runs SET stage = ?, deleted_at = ? WHERE id = ?", deleted, at, r.Row)
		return err
	})
}

// putPair sets a param or tag. The table is one of two constants.
func (t *tx) putPair(table string, r model.RunInfo, p model.Pair) error {
	k, err := t.intern(p.Key)
	if err != nil {
		return err
	}
	return t.Later("INSERT INTO "+table+"(run, k, exp, start, v) VALUES(?, ?, ?, ?, ?) ON CONFLICT(run, k) DO UPDATE SET v = excluded.v", r.Row, k, r.ExperimentID, r.Start, p.Value)
}

func (t *tx) putTags(r model.RunInfo, tags []model.Pair) error {
	for _, tag := range tags {
		if tag.Key == model.TagRunName && tag.Value != r.Name {
			if err := t.renameRun(&r, tag.Value); err != nil {
				return err
			}
			continue
		}
		if err := t.putPair("run_tags", r, tag); err != nil {
			return err
		}
	}
	return nil
}

// putParams sets params that do not exist; one that exists must have the same value.
func (t *tx) putParams(r model.RunInfo, params []model.Pair) error {
	for _, p := range params {
		k, err := t.intern(p.Key)
		if err != nil {
			return err
		}
		n, err := t.Exec("INSERT INTO run_params(run, k, exp, start, v) VALUES(?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", r.Row, k, r.ExperimentID, r.Start, p.Value)
		if err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		var old string
		if err := t.Row("SELECT v FROM run_params WHERE run = ? AND k = ?", r.Row, k).Scan(&old); err != nil {
			return err
		}
		if old != p.Value {
			return paramChanged(r, p, old)
		}
	}
	return nil
}

func paramChanged(r model.RunInfo, p model.Pair, old string) error {
	return model.Invalid("Changing param values is not allowed. Param with key='%s' was already logged with value='%s' for run ID='%s'. Attempted logging new value '%s'.",
		p.Key, model.Cut(old, 100), r.ID, model.Cut(p.Value, 100))
}

// LogBatch writes metrics, params and tags, all or none.
func (s *Store) LogBatch(ctx context.Context, namespace, id string, b model.Batch) error {
	if err := model.CheckBatch(id, &b); err != nil {
		return err
	}
	return s.log(ctx, namespace, id, b)
}

// LogMetric writes one point.
func (s *Store) LogMetric(ctx context.Context, namespace, id string, m model.Metric) error {
	list := []model.Metric{m}
	if err := model.CheckMetrics("", list); err != nil {
		return err
	}
	return s.log(ctx, namespace, id, model.Batch{Metrics: list})
}

// LogParam writes one param.
func (s *Store) LogParam(ctx context.Context, namespace, id string, p model.Pair) error {
	list := []model.Pair{p}
	if err := model.CheckParams("", list); err != nil {
		return err
	}
	return s.log(ctx, namespace, id, model.Batch{Params: list})
}

// SetTag writes one tag.
func (s *Store) SetTag(ctx context.Context, namespace, id string, p model.Pair) error {
	list := []model.Pair{p}
	if err := model.CheckTags("", list); err != nil {
		return err
	}
	return s.log(ctx, namespace, id, model.Batch{Tags: list})
}

// DeleteTag deletes a tag.
func (s *Store) DeleteTag(ctx context.Context, namespace, id, key string) error {
	return s.update(ctx, func(t *tx) error {
		r, err := t.activeRun(namespace, id)
		if err != nil {
			return err
		}
		k, err := t.keyID(key)
		if err != nil {
			return err
		}
		n, err := t.Exec("DELETE FROM run_tags WHERE run = ? AND k = ?", r.Row, k)
		return changed(n, err, model.Missing("No tag with name: %s in run with id %s", key, id))
	})
}

// AppendHistory adds a JSON object to the list in the tag that old clients
// keep of the models they logged.
func (s *Store) AppendHistory(ctx context.Context, namespace, id string, entry json.RawMessage) error {
	return s.update(ctx, func(t *tx) error {
		r, err := t.changingRun(namespace, id)
		if err != nil {
			return err
		}
		k, err := t.intern(model.TagHistory)
		if err != nil {
			return err
		}
		var old string
		var list []json.RawMessage
		err = t.Row("SELECT v FROM run_tags WHERE run = ? AND k = ?", r.Row, k).Scan(&old)
		if err != nil && !db.IsNoRows(err) {
			return err
		}
		if err == nil && json.Unmarshal([]byte(old), &list) != nil {
			list = nil // someone overwrote the tag
		}
		b, err := json.Marshal(append(list, entry))
		if err != nil {
			return err
		}
		return t.putPair("run_tags", r, model.Pair{Key: model.TagHistory, Value: string(b)})
	})
}

// randomName makes a name that people can say from a random id. The first words
// are also among those that upstream begins with, which its tests look for.
func randomName(id string) string {
	adjectives := strings.Fields("able bold bright calm capable caring casual clean dapper dashing gentle gifted kindly learned lyrical nimble orderly placid polite popular rare salty serious silent sincere smiling stately unique upbeat useful wise zealous")
	nouns := strings.Fields("adler amsel biber dachs elch falke finch fuchs gecko hase heron igel ibis kauz lachs luchs marder meise otter panda puma raven robin seal sparrow specht stork tiger uhu wal wolf wren")
	hash := 0
	for _, c := range id {
		hash = (hash*31 + int(c)) & 0x7fffffff
	}
	return adjectives[hash%len(adjectives)] + "-" + nouns[hash/32%len(nouns)] + "-" + id[max(0, len(id)-3):]
}
