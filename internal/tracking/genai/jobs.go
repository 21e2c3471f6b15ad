package genai

import (
	"context"
	"encoding/json"

	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

// job is a prompt optimisation that somebody wants.
type job struct {
	Prompt    string       `json:"prompt"`
	Config    jobConfig    `json:"config"`
	Tags      []model.Pair `json:"tags,omitempty"`
	Canceled  bool         `json:"canceled,omitempty"`
	Completed int64        `json:"completed,omitempty"`
}

type jobConfig struct {
	Optimizer optimizer `json:"optimizer"         ml:"optimizer_type"`
	Dataset   string    `json:"dataset,omitempty" ml:"dataset_id" about:"- a text that nothing follows"`
	Scorers   []string  `json:"scorers,omitempty" ml:"scorers"`
	Options   string    `json:"options,omitempty" ml:"optimizer_config_json"`
}

// waiting is what the state of every job says.
const waiting = "Nothing will run this job: this server keeps prompt optimisation jobs but has no worker for them. Run mlflow.genai.optimize_prompts() in your own process."

var jobKind = kind[job]{"prompt-optimization", "Prompt optimization job"}

// optimizer travels by name or number.
type optimizer string

// SetName implements mlwire.Enum.
func (e *optimizer) SetName(name string) bool {
	*e = optimizer(name)
	return name == "OPTIMIZER_TYPE_GEPA" || name == "OPTIMIZER_TYPE_METAPROMPT"
}

// SetNumber implements mlwire.Enum.
func (e *optimizer) SetNumber(n int64) bool {
	*e = map[int64]optimizer{1: "OPTIMIZER_TYPE_GEPA", 2: "OPTIMIZER_TYPE_METAPROMPT"}[n]
	return *e != ""
}

type createJob struct {
	Experiment string         `ml:"experiment_id,required" about:"experiment"`
	Prompt     string         `ml:"source_prompt_uri,required" about:"- a text that nothing follows"`
	Config     *jobConfig     `ml:"config,required"`
	Tags       []route.PairIn `ml:"tags"`
}

type jobRef struct {
	byID `about:"job"`
}

type searchJobs struct {
	Experiment string `ml:"experiment_id,required" about:"experiment"`
}

type jobJSON object[job]

// AppendJSON implements mlwire.Appender.
func (o jobJSON) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	w.Str("job_id", o.ID)
	w.Name("state")
	w.Begin()
	w.Str("status", map[bool]string{false: "JOB_STATUS_PENDING", true: "JOB_STATUS_CANCELED"}[o.Doc.Canceled])
	w.Str("status_message", waiting)
	w.End()
	w.Str("experiment_id", number(o.Exp))
	w.Str("source_prompt_uri", o.Doc.Prompt)
	w.Name("config")
	w.Begin()
	w.OptStr("optimizer_type", string(o.Doc.Config.Optimizer))
	w.OptStr("dataset_id", o.Doc.Config.Dataset)
	w.Strings("scorers", o.Doc.Config.Scorers)
	w.OptStr("optimizer_config_json", o.Doc.Config.Options)
	w.End()
	w.Int("creation_timestamp_ms", o.Created)
	if o.Doc.Completed > 0 {
		w.Int("completion_timestamp_ms", o.Doc.Completed)
	}
	route.Pairs(w, "tags", o.Doc.Tags)
	w.End()
}

func (s *Service) jobs() []server.Endpoint {
	answer := func(o object[job], err error) (*route.One[jobJSON], error) {
		return route.OneOf("job", jobJSON(o), err)
	}
	search := func(ctx context.Context, q *searchJobs) (*route.Many[jobJSON], error) {
		e, err := s.o.Experiments.Experiment(ctx, server.NamespaceOf(ctx), q.Experiment)
		if err != nil {
			return nil, err
		}
		var list []object[job]
		err = s.db.View(ctx, func(t *db.Tx) error {
			list, err = jobKind.list(t, server.NamespaceOf(ctx), e.ID)
			return err
		})
		return route.ManyOf("jobs", list, "", err, func(o object[job]) jobJSON { return jobJSON(o) })
	}
	return route.Flat(
		call(s, "POST", "/prompt-optimization/jobs", write, "note a prompt optimisation job; nothing runs it", func(ctx context.Context, q *createJob) (*route.One[jobJSON], error) {
			return answer(s.createJob(ctx, q))
		}),
		call(s, "GET", "/prompt-optimization/jobs/{id}", read, "one prompt optimisation job", func(ctx context.Context, q *jobRef) (*route.One[jobJSON], error) {
			return answer(jobKind.load(ctx, s, server.NamespaceOf(ctx), q.id))
		}),
		call(s, "POST", "/prompt-optimization/jobs/search", read, "prompt optimisation jobs of an experiment", search),
		call(s, "GET", "/prompt-optimization/jobs/search", read, "prompt optimisation jobs of an experiment", search),
		call(s, "POST", "/prompt-optimization/jobs/{id}/cancel", write, "cancel a prompt optimisation job", func(ctx context.Context, q *jobRef) (*route.One[jobJSON], error) {
			return answer(jobKind.change(ctx, s, server.NamespaceOf(ctx), q.id, func(_ *db.Tx, o *object[job]) error {
				if o.Doc.Canceled {
					return model.Invalid("The job %s is canceled already.", o.ID)
				}
				o.Doc.Canceled, o.Doc.Completed = true, s.now()
				return nil
			}))
		}),
		call(s, "DELETE", "/prompt-optimization/jobs/{id}", erase, "delete a prompt optimisation job", func(ctx context.Context, q *jobRef) (*route.Empty, error) {
			return route.Done(s.db.Update(ctx, func(t *db.Tx) error {
				if _, err := jobKind.get(t, server.NamespaceOf(ctx), q.id); err != nil {
					return err
				}
				return remove(t, q.id)
			}))
		}),
	)
}

func (s *Service) createJob(ctx context.Context, q *createJob) (o object[job], err error) {
	if q.Config.Optimizer == "" {
		return o, mlwire.Missing("config.optimizer_type")
	}
	if q.Config.Options != "" && !json.Valid([]byte(q.Config.Options)) {
		return o, model.Invalid("Invalid JSON in optimizer_config_json.")
	}
	if err := route.CheckKeys("tags", q.Tags); err != nil {
		return o, err
	}
	exp, err := s.active(ctx, q.Experiment)
	if err != nil {
		return o, err
	}
	id := s.uuid()
	o = object[job]{ID: id, Namespace: server.NamespaceOf(ctx), Exp: exp, Key: id, Created: s.now(), Doc: job{Prompt: q.Prompt, Config: *q.Config, Tags: route.PairsIn(q.Tags)}}
	return o, s.db.Update(ctx, func(t *db.Tx) error { return jobKind.put(t, o) })
}
