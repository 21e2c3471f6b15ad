package migrate_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/tracking/client"
	"github.com/kiwerk/kiwerk/internal/tracking/genai"
	"github.com/kiwerk/kiwerk/internal/tracking/migrate"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
)

// TestImport_evaluation: what was brought answers like what was made here.
func TestImport_evaluation(t *testing.T) {
	d, s := target(t)
	r, err := migrate.Import(t.Context(), migrate.ImportOptions{Name: "x", Source: source(t, mlflow(t, newest)), DB: d, Store: s, Traces: tracesOf(t, d)})
	if err != nil || !r.Same() {
		t.Fatalf("%+v, %v", r, err)
	}
	if diff := cmp.Diff([]string{"code (3)"}, r.Scorers); diff != "" {
		t.Error("left behind: " + diff)
	}
	c := serve(t, d, folder(t))
	ask := func(method, path, body string, answer any) {
		t.Helper()
		q := client.Request{Method: method, Path: "/api/3.0/mlflow/" + path}
		if body != "" {
			q.Body = json.RawMessage(body)
		}
		if err := c.Do(t.Context(), q, answer); err != nil {
			t.Error(err)
		}
	}
	var found struct {
		Datasets []struct {
			ID          string   `json:"dataset_id"`
			Tags        string   `json:"tags"`
			Experiments []string `json:"experiment_ids"`
		}
	}
	ask("POST", "datasets/search", `{"experiment_ids": ["3"], "filter_string": "tags.team = 'vision'"}`, &found)
	if len(found.Datasets) != 1 || found.Datasets[0].ID != "d-1" || found.Datasets[0].Tags != `{"team":"vision"}` {
		t.Errorf("datasets: %+v", found)
	}
	var records struct{ Records string }
	ask("GET", "datasets/d-1/records", "", &records)
	var list []struct {
		ID      string `json:"dataset_record_id"`
		Outputs any    `json:"outputs"`
	}
	if err := json.Unmarshal([]byte(records.Records), &list); err != nil || len(list) != 2 {
		t.Fatalf("records: %s, %v", records.Records, err)
	}
	// The same inputs again are the same record, as if it had been made here.
	var counted struct {
		Inserted int `json:"inserted_count"`
		Updated  int `json:"updated_count"`
	}
	ask("POST", "datasets/d-1/records", `{"records": "[{\"inputs\": {\"n\": 1, \"q\": \"why?\"}}]"}`, &counted)
	if counted.Inserted != 0 || counted.Updated != 1 {
		t.Errorf("the same inputs: %+v", counted)
	}
	var scorers struct {
		Scorers []struct {
			Name    string `json:"scorer_name"`
			Version int    `json:"scorer_version"`
		}
	}
	ask("POST", "scorers/register", `{"experiment_id": "3", "name": "polite", "serialized_scorer": "{}"}`, nil)
	if err := c.Do(t.Context(), client.Request{Method: "GET", Path: "/api/3.0/mlflow/scorers/list", Query: map[string][]string{"experiment_id": {"3"}}}, &scorers); err != nil || len(scorers.Scorers) != 1 || scorers.Scorers[0].Version != 4 {
		t.Errorf("scorers: %+v, %v", scorers, err)
	}
	var issues struct {
		Issues []struct {
			Name   string   `json:"name"`
			Causes []string `json:"root_causes"`
		}
	}
	ask("POST", "issues/search", `{"experiment_id": "3"}`, &issues)
	if len(issues.Issues) != 1 || issues.Issues[0].Name != "slow" || len(issues.Issues[0].Causes) != 1 {
		t.Errorf("issues: %+v", issues)
	}
}

// TestImport_scorerTaken: a scorer of ours is not written over.
func TestImport_scorerTaken(t *testing.T) {
	d, s := target(t)
	if err := d.Migrate(t.Context(), genai.Migrations()); err != nil {
		t.Fatal(err)
	}
	w, err := genai.MovedScorer{ID: "ours", Namespace: "default", Name: "polite", Experiment: 3, Versions: []genai.MovedVersion{{Version: 1, Text: "{}"}}}.Whole()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Import(t.Context(), func(in store.Import) error { return genai.Import(in.Tx(), w) }); err != nil {
		t.Fatal(err)
	}
	_, err = migrate.Import(t.Context(), migrate.ImportOptions{Name: "x", Source: source(t, mlflow(t, newest)), DB: d, Store: s})
	if !errors.Is(err, store.ErrTaken) {
		t.Errorf("got %v", err)
	}
}
