package model

import "strings"

// Event is a change of the registry that others can subscribe to, in MLflow's words.
type Event struct {
	Namespace string
	// Entity is registered_model, model_version, model_version_tag, …; Action
	// is created, set or deleted. A prompt has entities of its own.
	Entity, Action string
	// Name of the model or prompt; which of the rest is filled depends on the entity.
	Name, Version, Alias, Key, Value string
	Source, RunID                    string
	Description                      *string
	Tags                             []Pair
}

// Actions of events.
const (
	Created = "created"
	Deleted = "deleted"
	Set     = "set"
)

// PromptTag marks a registered model or a version that is a prompt.
const PromptTag = "mlflow.prompt.is_prompt"

// IsPrompt tells whether the tags are those of a prompt; the last one of a key counts.
func IsPrompt(tags []Pair) bool {
	is := false
	for _, t := range tags {
		if t.Key == PromptTag {
			is = strings.EqualFold(t.Value, "true")
		}
	}
	return is
}
