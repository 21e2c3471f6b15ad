package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/kiwerk/kiwerk/internal/tracking/client"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
)

// Server is a running tracking server, ours or MLflow's. It tells what its API
// has: not when a run was deleted, and neither logged models nor versions that are.
type Server struct {
	c         *client.Client
	namespace string
	// keys are the metrics of the runs that were seen.
	keys map[string][]string
	// prompts are NAME/VERSION of those that were seen.
	prompts map[string]bool
	links   *links
	// oldTraces: it knows version 2 of their API only.
	oldTraces bool
	// Asked hears now and then of how many of the runs the linked traces are known; nil is nobody.
	Asked func(runs, all int)
}

// OpenServer reads from a server; workspace is the project of the client that its things go to.
func OpenServer(ctx context.Context, c *client.Client) (*Server, error) {
	s := &Server{c: c, namespace: c.Workspace(), keys: map[string][]string{}, prompts: map[string]bool{}}
	if s.namespace == "" {
		s.namespace = "default"
	}
	for _, err := range c.Experiments(ctx, client.Query{View: client.All, Max: 1}) {
		return s, err
	}
	return s, nil
}

// pageOfRuns is how many runs are asked for at once; each may have much to say.
const pageOfRuns = 500

// fromServer is a pair as we have it.
func fromServer(list []client.Pair) (out []model.Pair) {
	for _, p := range list {
		out = append(out, model.Pair(p))
	}
	return out
}

func number(what, text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: the server's %s %q is no whole number", ErrUnsupported, what, text)
	}
	return n, nil
}

// Experiments implements [Source].
func (s *Server) Experiments(ctx context.Context, fn func(model.Experiment) error) error {
	for e, err := range s.c.Experiments(ctx, client.Query{View: client.All}) {
		if err != nil {
			return err
		}
		id, err := number("experiment_id", e.ID)
		if err != nil {
			return err
		}
		if err := fn(model.Experiment{
			ID: id, Namespace: s.namespace, Name: e.Name, ArtifactLocation: e.ArtifactLocation, Deleted: e.Stage == client.Deleted,
			Created: int64(e.Created), Updated: int64(e.Updated), Tags: fromServer(e.Tags),
		}); err != nil {
			return err
		}
	}
	return nil
}

// experimentIDs are all of them, in portions for one search each.
func (s *Server) experimentIDs(ctx context.Context) (portions [][]string, err error) {
	var ids []string
	for e, err := range s.c.Experiments(ctx, client.Query{View: client.All}) {
		if err != nil {
			return nil, err
		}
		ids = append(ids, e.ID)
	}
	return slices.Collect(slices.Chunk(ids, 50)), nil
}

// Runs implements [Source].
func (s *Server) Runs(ctx context.Context, fn func(Run) error) error {
	portions, err := s.experimentIDs(ctx)
	if err != nil {
		return err
	}
	for _, ids := range portions {
		for r, err := range s.c.Runs(ctx, client.Query{Experiments: ids, View: client.All, Page: pageOfRuns}) {
			if err != nil {
				return err
			}
			run, err := s.run(r)
			if err != nil {
				return fmt.Errorf("run %s: %w", r.Info.ID, err)
			}
			if err := fn(run); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Server) run(r client.Run) (out Run, err error) {
	i := r.Info
	if out.ExperimentID, err = number("experiment_id", i.ExperimentID); err != nil {
		return out, err
	}
	if !out.Status.SetName(i.Status) {
		return out, fmt.Errorf("unknown status %q", i.Status)
	}
	out.ID, out.Name, out.User, out.Start, out.End, out.ArtifactURI = i.ID, i.Name, i.User, int64(i.Start), int64(i.End), i.ArtifactURI
	out.Namespace, out.Deleted = s.namespace, i.Stage == client.Deleted
	out.Params, out.Tags = fromServer(r.Data.Params), fromServer(r.Data.Tags)
	for _, d := range r.Inputs.Datasets {
		out.Datasets = append(out.Datasets, model.DatasetInput{Dataset: model.Dataset(d.Dataset), Tags: fromServer(d.Tags)})
	}
	for _, m := range r.Inputs.Models {
		out.Inputs = append(out.Inputs, m.ModelID)
	}
	for _, m := range r.Outputs.Models {
		out.Outputs = append(out.Outputs, model.ModelOutput{ModelID: m.ModelID, Step: int64(m.Step)})
	}
	keys := []string{}
	for _, m := range r.Data.Metrics {
		if !slices.Contains(keys, m.Key) {
			keys = append(keys, m.Key)
		}
	}
	s.keys[i.ID] = keys
	return out, nil
}

// Points implements [Source].
func (s *Server) Points(ctx context.Context, run string, fn func(model.Metric) error) error {
	for _, key := range s.keys[run] {
		for m, err := range s.c.History(ctx, run, key) {
			if err != nil {
				return err
			}
			if err := fn(model.Metric{Key: key, Value: float64(m.Value), Timestamp: int64(m.Timestamp), Step: int64(m.Step)}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Models implements [Source]. Servers before MLflow 3 have none.
func (s *Server) Models(ctx context.Context, fn func(model.LoggedModel) error) error {
	portions, err := s.experimentIDs(ctx)
	if err != nil {
		return err
	}
	for _, ids := range portions {
		for m, err := range s.c.LoggedModels(ctx, client.Query{Experiments: ids}) {
			if client.IsUnknownRoute(err) {
				return nil
			}
			if err != nil {
				return err
			}
			to, err := loggedModel(m)
			if err != nil {
				return fmt.Errorf("logged model %s: %w", m.Info.ID, err)
			}
			if err := fn(to); err != nil {
				return err
			}
		}
	}
	return nil
}

func loggedModel(m client.LoggedModel) (out model.LoggedModel, err error) {
	i := m.Info
	if out.ExperimentID, err = number("experiment_id", i.ExperimentID); err != nil {
		return out, err
	}
	if !out.Status.SetName(i.Status) {
		return out, fmt.Errorf("unknown status %q", i.Status)
	}
	out.ID, out.Name, out.Type, out.SourceRun, out.ArtifactURI, out.StatusMessage = i.ID, i.Name, i.Type, i.SourceRun, i.ArtifactURI, i.StatusMessage
	out.Created, out.Updated = int64(i.Created), int64(i.Updated)
	out.Params, out.Tags = fromServer(m.Data.Params), fromServer(i.Tags)
	for _, p := range m.Data.Metrics {
		out.Metrics = append(out.Metrics, model.Metric{
			Key: p.Key, Value: float64(p.Value), Timestamp: int64(p.Timestamp), Step: int64(p.Step), ModelID: i.ID,
			DatasetName: p.DatasetName, DatasetDigest: p.DatasetDigest, RunUUID: p.RunID,
		})
	}
	return out, nil
}

// Registry implements [Source]. Searches find models or prompts, never both.
func (s *Server) Registry(ctx context.Context, fn func(store.Registered) error) error {
	seen := map[string]bool{}
	for _, more := range []string{"", "tags.`" + model.TagIsPrompt + "` = 'true'"} {
		for m, err := range s.c.RegisteredModels(ctx, client.Query{Filter: more}) {
			if err != nil {
				return err
			}
			if seen[m.Name] {
				continue
			}
			seen[m.Name] = true
			to, err := s.registered(ctx, m, more)
			if err != nil {
				return fmt.Errorf("registered model %q: %w", m.Name, err)
			}
			if err := fn(to); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Server) registered(ctx context.Context, m client.RegisteredModel, more string) (out store.Registered, err error) {
	out.RegisteredModel = model.RegisteredModel{
		Namespace: s.namespace, Name: m.Name, Description: m.Description, Created: int64(m.Created), Updated: int64(m.Updated), Tags: fromServer(m.Tags),
	}
	filter := "name = " + client.QuoteFilter(m.Name)
	if more != "" {
		filter += " AND " + more
	}
	for v, err := range s.c.ModelVersions(ctx, client.Query{Filter: filter}) {
		if err != nil {
			return out, err
		}
		to, err := s.version(ctx, v)
		if err != nil {
			return out, fmt.Errorf("version %s: %w", v.Version, err)
		}
		out.Versions = append(out.Versions, to)
		if more != "" {
			s.prompts[v.Name+"/"+v.Version] = true
		}
	}
	slices.SortFunc(out.Versions, func(a, b model.ModelVersion) int { return int(a.Version - b.Version) })
	for _, a := range m.Aliases {
		n, err := number("version of an alias", a.Version)
		if err != nil {
			return out, err
		}
		if slices.ContainsFunc(out.Versions, func(v model.ModelVersion) bool { return v.Version == n }) { // MLflow keeps aliases of deleted ones
			out.Aliases = append(out.Aliases, model.Alias{Name: a.Alias, Version: n})
		}
	}
	return out, nil
}

func (s *Server) version(ctx context.Context, v client.ModelVersion) (out model.ModelVersion, err error) {
	out = model.ModelVersion{
		Name: v.Name, Created: int64(v.Created), Updated: int64(v.Updated), User: v.User, Stage: v.Stage, Source: v.Source, RunID: v.RunID, RunLink: v.RunLink,
		ModelID: v.ModelID, Tags: fromServer(v.Tags),
	}
	if out.Version, err = number("version", v.Version); err != nil {
		return out, err
	}
	if v.Description != "" {
		out.Description = &v.Description
	}
	if out.Stage == "" {
		out.Stage = "None"
	}
	out.StorageLocation, err = s.c.DownloadURI(ctx, v.Name, v.Version)
	var refused *client.Error
	if errors.As(err, &refused) && refused.Status < 500 || out.StorageLocation == "" { // it has no files, as a prompt
		out.StorageLocation, err = v.Source, nil
	}
	return out, err
}
