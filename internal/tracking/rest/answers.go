package rest

import (
	"strconv"

	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

type writer = mlwire.Writer

func id(n int64) string { return strconv.FormatInt(n, 10) }

type experimentJSON model.Experiment

func (e experimentJSON) AppendJSON(w *writer) {
	w.Begin()
	w.Str("experiment_id", id(e.ID))
	w.Str("name", e.Name)
	w.Str("artifact_location", e.ArtifactLocation)
	w.Str("lifecycle_stage", model.Stage(e.Deleted))
	w.Int("last_update_time", e.Updated)
	w.Int("creation_time", e.Created)
	route.Pairs(w, "tags", e.Tags)
	w.Str("workspace", e.Namespace)
	w.End()
}

type runInfoJSON model.RunInfo

func (r runInfoJSON) AppendJSON(w *writer) {
	w.Begin()
	w.Str("run_uuid", r.ID)
	w.Str("experiment_id", id(r.ExperimentID))
	w.Str("run_name", r.Name)
	w.Str("user_id", r.User)
	w.Str("status", r.Status.String())
	w.Int("start_time", r.Start)
	if r.End != 0 {
		w.Int("end_time", r.End)
	}
	w.Str("artifact_uri", r.ArtifactURI)
	w.Str("lifecycle_stage", model.Stage(r.Deleted))
	w.Str("run_id", r.ID)
	w.End()
}

type metricJSON model.Metric

func (m metricJSON) AppendJSON(w *writer) {
	w.Begin()
	w.Str("key", m.Key)
	w.Float("value", m.Value)
	w.Int("timestamp", m.Timestamp)
	w.Int("step", m.Step)
	w.OptStr("dataset_name", m.DatasetName)
	w.OptStr("dataset_digest", m.DatasetDigest)
	w.OptStr("model_id", m.ModelID)
	w.OptStr("run_id", m.RunUUID)
	w.End()
}

func metrics(w *writer, name string, list []model.Metric) {
	if len(list) == 0 {
		return
	}
	w.Name(name)
	w.BeginList()
	for _, m := range list {
		w.Elem()
		metricJSON(m).AppendJSON(w)
	}
	w.EndList()
}

// newRunJSON is a run that has just been made, which has no outputs yet.
type newRunJSON model.Run

// AppendJSON implements mlwire.Appender.
func (r newRunJSON) AppendJSON(w *writer) { appendRun(w, model.Run(r), false) }

type runJSON model.Run

// AppendJSON implements mlwire.Appender.
func (r runJSON) AppendJSON(w *writer) { appendRun(w, model.Run(r), true) }

func appendRun(w *writer, r model.Run, outputs bool) {
	w.Begin()
	w.Object("info", runInfoJSON(r.RunInfo))
	w.Name("data")
	w.Begin()
	metrics(w, "metrics", r.Metrics)
	route.Pairs(w, "params", r.Params)
	route.Pairs(w, "tags", r.Tags)
	w.End()
	w.Name("inputs")
	w.Begin()
	mlwire.List(w, "dataset_inputs", route.Convert(r.Datasets, func(d model.DatasetInput) datasetInputJSON { return datasetInputJSON(d) }))
	mlwire.List(w, "model_inputs", route.Convert(r.Inputs, func(m string) modelInputJSON { return modelInputJSON(m) }))
	w.End()
	if outputs {
		w.Name("outputs")
		w.Begin()
		mlwire.List(w, "model_outputs", route.Convert(r.Outputs, func(o model.ModelOutput) modelOutputJSON { return modelOutputJSON(o) }))
		w.End()
	}
	w.End()
}

type datasetInputJSON model.DatasetInput

func (d datasetInputJSON) AppendJSON(w *writer) {
	w.Begin()
	route.Pairs(w, "tags", d.Tags)
	w.Name("dataset")
	w.Begin()
	w.Str("name", d.Dataset.Name)
	w.Str("digest", d.Dataset.Digest)
	w.Str("source_type", d.Dataset.SourceType)
	w.Str("source", d.Dataset.Source)
	w.OptStr("schema", d.Dataset.Schema)
	w.OptStr("profile", d.Dataset.Profile)
	w.End()
	w.End()
}

type modelInputJSON string

func (m modelInputJSON) AppendJSON(w *writer) {
	w.Begin()
	w.Str("model_id", string(m))
	w.End()
}

type modelOutputJSON model.ModelOutput

func (m modelOutputJSON) AppendJSON(w *writer) {
	w.Begin()
	w.Str("model_id", m.ModelID)
	w.Int("step", m.Step)
	w.End()
}

type loggedModelJSON model.LoggedModel

func (m loggedModelJSON) AppendJSON(w *writer) {
	w.Begin()
	w.Name("info")
	w.Begin()
	w.Str("model_id", m.ID)
	w.Str("experiment_id", id(m.ExperimentID))
	w.Str("name", m.Name)
	w.Int("creation_timestamp_ms", m.Created)
	w.Int("last_updated_timestamp_ms", m.Updated)
	w.Str("artifact_uri", m.ArtifactURI)
	w.Str("status", m.Status.String())
	w.Str("model_type", m.Type)
	w.Str("source_run_id", m.SourceRun)
	w.OptStr("status_message", m.StatusMessage)
	route.Pairs(w, "tags", m.Tags)
	w.End()
	w.Name("data")
	w.Begin()
	route.Pairs(w, "params", m.Params)
	metrics(w, "metrics", m.Metrics)
	w.End()
	w.End()
}

type versionJSON model.ModelVersion

func (v versionJSON) AppendJSON(w *writer) {
	w.Begin()
	w.Str("name", v.Name)
	w.Str("version", id(v.Version))
	w.Int("creation_timestamp", v.Created)
	w.Int("last_updated_timestamp", v.Updated)
	w.OptStr("user_id", v.User)
	w.Str("current_stage", v.Stage)
	if v.Description != nil {
		w.Str("description", *v.Description)
	}
	w.Str("source", v.Source)
	w.Str("run_id", v.RunID)
	w.Str("status", "READY")
	route.Pairs(w, "tags", v.Tags)
	w.Str("run_link", v.RunLink)
	w.Strings("aliases", v.Aliases)
	w.OptStr("model_id", v.ModelID)
	w.End()
}

type registeredJSON model.RegisteredModel

func (m registeredJSON) AppendJSON(w *writer) {
	w.Begin()
	w.Str("name", m.Name)
	w.Int("creation_timestamp", m.Created)
	w.Int("last_updated_timestamp", m.Updated)
	w.OptStr("description", m.Description)
	mlwire.List(w, "latest_versions", route.Convert(m.Latest, func(v model.ModelVersion) versionJSON { return versionJSON(v) }))
	route.Pairs(w, "tags", m.Tags)
	mlwire.List(w, "aliases", route.Convert(m.Aliases, func(a model.Alias) aliasJSON { return aliasJSON(a) }))
	w.End()
}

type aliasJSON model.Alias

func (a aliasJSON) AppendJSON(w *writer) {
	w.Begin()
	w.Str("alias", a.Name)
	w.Str("version", id(a.Version))
	w.End()
}

// fileJSON is an entry of a list of artifacts.
type fileJSON struct {
	path   string
	folder bool
	size   int64
}

func (f fileJSON) AppendJSON(w *writer) {
	w.Begin()
	w.Str("path", f.path)
	w.Bool("is_dir", f.folder)
	if !f.folder && f.size > 0 {
		w.Int("file_size", f.size)
	}
	w.End()
}
