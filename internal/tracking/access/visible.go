package access

import (
	"slices"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// visible is what a caller may see in lists. The searches look for just that,
// so that one who may see little does not make the server read much.
func (c *caller) visible() *model.Visible {
	servers := c.readable(kindMCP)
	if c.hidden(tierMCP) { // what a server is said to be comes from its versions
		servers = model.Names{}
	}
	return &model.Visible{
		Experiments: c.readable(kindExperiment), Models: c.readable(kindRegistered), Prompts: c.readable(kindPrompt),
		MCPServers: servers, Workspaces: c.spaces(),
		NoVersions: c.hidden(tierVersion), NoPromptVersions: c.hidden(tierPrompt),
	}
}

// readable are the objects of a kind that the caller may read. Those that no
// grant names are all alike.
func (c *caller) readable(kind string) (n model.Names) {
	n.All = c.need(actRead, key{kind, ""}) == nil
	for _, g := range c.who.grants {
		if g.workspace != c.workspace || g.kind != kind || g.pattern == everything || slices.Contains(n.List, g.pattern) {
			continue
		}
		if reads := c.need(actRead, key{kind, g.pattern}) == nil; reads != n.All {
			n.List = append(n.List, g.pattern)
		}
	}
	return n
}

// hidden tells whether nothing of a tier may be seen, whatever holds it.
func (c *caller) hidden(tier string) bool {
	return fold(c.who.grants, c.workspace, key{tier, everything}) == Deny && c.need(actRead, key{tier, everything}) != nil
}

// spaces are the workspaces in which the caller has any permission.
func (c *caller) spaces() (n model.Names) {
	if c.open {
		n.List = append(n.List, defaultWorkspace)
	}
	for _, g := range c.who.grants {
		if g.permission != Deny && !slices.Contains(n.List, g.workspace) {
			n.List = append(n.List, g.workspace)
		}
	}
	return n
}
