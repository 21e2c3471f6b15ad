package model

import "slices"

// Names are objects by their ids: those of a list, or with All everything but them.
type Names struct {
	All  bool
	List []string
}

// Everything is all objects of a kind.
func (n Names) Everything() bool { return n.All && len(n.List) == 0 }

// Has tells whether an object is among them.
func (n Names) Has(id string) bool { return n.All != slices.Contains(n.List, id) }

// Visible is what a caller may see of each kind; nil is everything.
type Visible struct {
	// Experiments by number; registered models, prompts, MCP servers and workspaces by name.
	Experiments, Models, Prompts, MCPServers, Workspaces Names
	// NoVersions and NoPromptVersions hide what lies below models and prompts.
	NoVersions, NoPromptVersions bool
}
