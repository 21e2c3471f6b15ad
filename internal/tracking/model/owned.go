package model

// Owned is an object that somebody may manage.
type Owned struct{ Namespace, Kind, ID string }

// Kinds of owned objects. Experiments are known by their number, the others by name.
const (
	OwnedExperiment = "experiment"
	OwnedModel      = "registered_model"
	OwnedPrompt     = "prompt"
	OwnedMCPServer  = "mcp_server"
)
