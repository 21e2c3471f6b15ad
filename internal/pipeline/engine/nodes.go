package engine

import (
	"slices"
	"strings"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/text/plain"
)

// newNode adds a node to the tree.
func (e *engine) newNode(c call, typ argo.NodeType, phase argo.NodePhase, message string) *argo.NodeStatus {
	n := &argo.NodeStatus{
		ID: e.newID(c.name), Name: c.name, Type: typ, Phase: phase, Message: message,
		TemplateName: c.Template, TemplateRef: c.TemplateRef, TemplateScope: c.scope,
		BoundaryID: c.boundaryID(), StartedAt: e.now, NodeFlag: c.flag,
	}
	n.DisplayName = c.name
	if c.boundary != nil {
		n.DisplayName = displayName(c.name, c.boundary.Name)
	}
	if phase.Fulfilled() {
		n.FinishedAt = e.now
	}
	e.nodes[n.ID], e.byName[n.Name] = n, n
	return n
}

// initError is a node that could not even begin.
func (e *engine) initError(c call, err error) *argo.NodeStatus {
	if n := e.byName[c.name]; n != nil {
		return e.mark(n, argo.NodeError, plain.Error(err).Error())
	}
	return e.newNode(c, argo.NodeTypeSkipped, argo.NodeError, plain.Error(err).Error())
}

// mark moves a node to a phase.
func (e *engine) mark(n *argo.NodeStatus, phase argo.NodePhase, message string) *argo.NodeStatus {
	if n.Type == argo.NodeTypePod && !n.Phase.Fulfilled() && phase.Fulfilled() {
		e.active--
	}
	n.Phase, n.Message = phase, message
	if phase.Fulfilled() && n.FinishedAt.IsZero() {
		n.FinishedAt = e.now
	}
	return n
}

func link(parent, child *argo.NodeStatus) {
	if !slices.Contains(parent.Children, child.ID) {
		parent.Children = append(parent.Children, child.ID)
	}
}

// outbound are the nodes that end a node: what comes after hangs below them.
func (e *engine) outbound(id string) []string {
	n := e.nodes[id]
	if n == nil {
		return nil
	}
	switch n.Type {
	case argo.NodeTypeTaskGroup:
		if len(n.Children) == 0 {
			return []string{id}
		}
		var all []string
		for _, c := range n.Children {
			all = append(all, e.outbound(c)...)
		}
		return all
	case argo.NodeTypeRetry:
		if last := e.lastAttempt(n); last != nil {
			return e.outbound(last.ID)
		}
		return []string{id}
	case argo.NodeTypeSteps, argo.NodeTypeDAG:
		if len(n.OutboundNodes) == 0 {
			return []string{id}
		}
		return n.OutboundNodes
	default:
		return []string{id}
	}
}

// lastAttempt is the newest attempt of a Retry node.
func (e *engine) lastAttempt(retry *argo.NodeStatus) *argo.NodeStatus {
	for _, id := range slices.Backward(retry.Children) {
		if n := e.nodes[id]; n != nil && !strings.HasSuffix(n.Name, ".onExit") {
			return n
		}
	}
	return nil
}

// sorted gives the nodes in an order that does not change.
func (e *engine) sorted() []*argo.NodeStatus {
	all := make([]*argo.NodeStatus, 0, len(e.nodes))
	for _, n := range e.nodes {
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b *argo.NodeStatus) int { return strings.Compare(a.Name, b.Name) })
	return all
}
