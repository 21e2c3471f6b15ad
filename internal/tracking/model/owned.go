package model

import (
	"net/url"
	"strings"
)

// Owned is an object that somebody may manage.
type Owned struct{ Namespace, Kind, ID string }

// Kinds of owned objects. Experiments are known by their number, the others by name.
const (
	OwnedExperiment = "experiment"
	OwnedModel      = "registered_model"
	OwnedPrompt     = "prompt"
	OwnedMCPServer  = "mcp_server"
	OwnedScorer     = "scorer" // known by ScorerID
)

// ScorerID names a scorer in a grant, as upstream does.
func ScorerID(experiment, name string) string {
	return experiment + "/" + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
}
