package workbench

import (
	"context"
	"iter"
	"time"

	"github.com/kiwerk/kiwerk/internal/tracking/client"
)

// Run is a run as people and scripts read it.
type Run struct {
	ID           string                  `json:"run_id"`
	Name         string                  `json:"run_name"`
	ExperimentID string                  `json:"experiment_id"`
	Experiment   string                  `json:"experiment,omitempty"`
	Status       string                  `json:"status"`
	Stage        string                  `json:"lifecycle_stage"`
	User         string                  `json:"user,omitempty"`
	Start        *time.Time              `json:"start_time,omitempty"`
	End          *time.Time              `json:"end_time,omitempty"`
	ArtifactURI  string                  `json:"artifact_uri"`
	Metrics      map[string]client.Float `json:"metrics"`
	Params       map[string]string       `json:"params"`
	Tags         map[string]string       `json:"tags"`
	Datasets     []client.DatasetInput   `json:"datasets,omitempty"`
	// Models are ids of logged models that the run made, ModelInputs of those that it read.
	Models      []string `json:"models,omitempty"`
	ModelInputs []string `json:"model_inputs,omitempty"`
}

// RunOf flattens what the server sends.
func RunOf(r client.Run) Run {
	out := Run{
		ID: r.Info.ID, Name: r.Info.Name, ExperimentID: r.Info.ExperimentID, Status: r.Info.Status, Stage: r.Info.Stage, User: r.Info.User,
		Start: moment(r.Info.Start), End: moment(r.Info.End), ArtifactURI: r.Info.ArtifactURI,
		Metrics: make(map[string]client.Float, len(r.Data.Metrics)), Params: client.Map(r.Data.Params), Tags: client.Map(r.Data.Tags),
		Datasets: r.Inputs.Datasets,
	}
	for _, m := range r.Data.Metrics {
		out.Metrics[m.Key] = m.Value
	}
	for _, m := range r.Outputs.Models {
		out.Models = append(out.Models, m.ModelID)
	}
	for _, m := range r.Inputs.Models {
		out.ModelInputs = append(out.ModelInputs, m.ModelID)
	}
	return out
}

// Logged are the models that a run made, but for those that were deleted since.
func Logged(ctx context.Context, c *client.Client, run client.Run) (list []client.LoggedModel, err error) {
	for _, o := range run.Outputs.Models {
		m, err := c.LoggedModel(ctx, o.ModelID)
		if client.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

func moment(ms client.Int) *time.Time {
	if ms == 0 {
		return nil
	}
	t := time.UnixMilli(int64(ms)).UTC()
	return &t
}

// Experiments of names or ids; all of them without any.
func Experiments(ctx context.Context, c *client.Client, wanted []string, view client.View) (map[string]string, error) {
	found := map[string]string{}
	if len(wanted) == 0 {
		for e, err := range c.Experiments(ctx, client.Query{View: view}) {
			if err != nil {
				return nil, err
			}
			found[e.ID] = e.Name
		}
		return found, nil
	}
	for _, w := range wanted {
		e, err := c.ExperimentByName(ctx, w)
		if client.IsNotFound(err) && digits(w) {
			e, err = c.Experiment(ctx, w)
		}
		if err != nil {
			return nil, err
		}
		found[e.ID] = e.Name
	}
	return found, nil
}

func digits(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return s != ""
}

// Runs finds flattened runs; experiments maps ids to names.
func Runs(ctx context.Context, c *client.Client, experiments map[string]string, q client.Query) iter.Seq2[Run, error] {
	for id := range experiments {
		q.Experiments = append(q.Experiments, id)
	}
	return func(yield func(Run, error) bool) {
		if len(q.Experiments) == 0 {
			return
		}
		for r, err := range c.Runs(ctx, q) {
			run := RunOf(r)
			run.Experiment = experiments[run.ExperimentID]
			if !yield(run, err) || err != nil {
				return
			}
		}
	}
}
