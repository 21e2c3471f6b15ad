package webhooks

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// entities and actions as they are numbered on the wire.
var (
	entities = []string{"", "registered_model", "model_version", "model_version_tag", "model_version_alias", "prompt", "prompt_version", "prompt_tag", "prompt_version_tag", "prompt_alias", "budget_policy"}
	actions  = []string{"", "created", "updated", "deleted", "set", "exceeded"}
)

// valid are the actions that an entity has.
var valid = map[string][]string{
	"registered_model":    {"created"},
	"model_version":       {"created"},
	"model_version_tag":   {"deleted", "set"},
	"model_version_alias": {"created", "deleted"},
	"prompt":              {"created"},
	"prompt_version":      {"created"},
	"prompt_tag":          {"deleted", "set"},
	"prompt_version_tag":  {"deleted", "set"},
	"prompt_alias":        {"created", "deleted"},
	"budget_policy":       {"exceeded"}, // of the AI gateway, which is not served: never sent, but for tests
}

// event is what a webhook can subscribe to.
type event struct{ entity, action string }

func (e event) String() string { return e.entity + "." + e.action }

func parseEvent(s string) event {
	entity, action, _ := strings.Cut(s, ".")
	return event{entity, action}
}

func (e event) check() error {
	list, ok := valid[e.entity]
	if !ok {
		return model.Invalid("Invalid webhook event: there is no entity '%s'.", e.entity)
	}
	if !slices.Contains(list, e.action) {
		return model.Invalid("Invalid action '%s' for entity '%s'. Valid actions are: ['%s']", e.action, e.entity, strings.Join(list, "', '"))
	}
	return nil
}

// internalTags of prompts are not told.
var internalTags = []string{model.PromptTag, "_mlflow_prompt_type"}

const promptText = "mlflow.prompt.text"

// data is what receivers get of a change.
func data(e model.Event) map[string]any {
	m := map[string]any{"name": e.Name}
	tags := map[string]string{}
	for _, t := range e.Tags {
		tags[t.Key] = t.Value
	}
	switch e.Entity {
	case "registered_model", "prompt":
		m["description"] = e.Description
		m["tags"] = withoutInternal(e.Entity, tags)
	case "model_version":
		m["version"], m["source"], m["run_id"], m["tags"], m["description"] = e.Version, e.Source, optional(e.RunID), tags, described(e.Description)
	case "prompt_version":
		m["version"], m["template"], m["description"] = e.Version, nil, described(e.Description)
		if text, ok := tags[promptText]; ok {
			m["template"] = text
			delete(tags, promptText)
		}
		m["tags"] = withoutInternal(e.Entity, tags)
	case "model_version_alias", "prompt_alias":
		m["alias"] = e.Alias
	default: // tags
		m["key"] = e.Key
	}
	if e.Action == model.Set {
		m["value"] = e.Value
	}
	switch event := e.Entity + "." + e.Action; event {
	case "model_version_tag.set", "model_version_tag.deleted", "prompt_version_tag.set", "prompt_version_tag.deleted", "model_version_alias.created", "prompt_alias.created":
		m["version"] = e.Version
	}
	return m
}

func withoutInternal(entity string, tags map[string]string) map[string]string {
	if strings.HasPrefix(entity, "prompt") {
		for _, t := range internalTags {
			delete(tags, t)
		}
	}
	return tags
}

func optional(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func described(s *string) any {
	if s == nil {
		return nil
	}
	return optional(*s)
}

// example is what a test of a webhook sends.
func (e event) example() map[string]any {
	if e.entity == "budget_policy" {
		return map[string]any{
			"budget_policy_id": "bp-abc123", "budget_unit": "USD", "budget_amount": 100.0, "current_spend": 105.5,
			"duration_unit": "MONTHS", "duration_value": 1, "target_scope": "ENDPOINT", "workspace": "default",
			"target_value": "ep-abc123", "window_start": 1_704_067_200_000,
		}
	}
	what := "example_model"
	if strings.HasPrefix(e.entity, "prompt") {
		what = "example_prompt"
	}
	about := map[string]string{
		"registered_model": "An example registered model", "model_version": "An example model version",
		"prompt": "An example prompt", "prompt_version": "An example prompt version",
	}[e.entity]
	return data(model.Event{
		Entity: e.entity, Action: e.action, Name: what, Version: "1", Alias: "example_alias", Key: "example_key", Value: "example_value",
		Source: "models:/123", RunID: "abcd1234abcd5678", Description: &about,
		Tags: exampleTags(e.entity),
	})
}

func exampleTags(entity string) []model.Pair {
	tags := []model.Pair{{Key: "example_key", Value: "example_value"}}
	if entity == "prompt_version" {
		tags = append(tags, model.Pair{Key: promptText, Value: "Hello {{name}}!"})
	}
	return tags
}

// envelope is the body of a delivery.
type envelope struct {
	Entity    string         `json:"entity"`
	Action    string         `json:"action"`
	Timestamp string         `json:"timestamp"`
	Data      map[string]any `json:"data"`
	Workspace string         `json:"workspace,omitempty"`
}

func (s *Service) body(e event, namespace string, data map[string]any) (string, error) {
	v := envelope{Entity: e.entity, Action: e.action, Timestamp: s.o.Clock().UTC().Format("2006-01-02T15:04:05.000000-07:00"), Data: data}
	if s.o.Workspaces {
		v.Workspace = namespace
	}
	b, err := json.Marshal(v)
	return string(b), err
}
