package engine

import (
	"fmt"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/pipeline/expand"
	"github.com/kiwerk/kiwerk/internal/text/plain"
)

// runSteps runs groups of steps one after the other.
func (e *engine) runSteps(c call, node *argo.NodeStatus, t *argo.Template, scope string, in argo.Inputs) *argo.NodeStatus {
	if node == nil {
		node = e.newNode(c, argo.NodeTypeSteps, argo.NodeRunning, "")
		node.Inputs = keepInputs(in)
	}
	vars := e.templateScope(c, t, in)
	var before *argo.NodeStatus
	for i := range t.Steps {
		group := e.stepGroup(node, scope, i, before)
		if group == nil {
			return e.stopIfIdle(node)
		}
		steps := e.runGroup(c, node, group, t, scope, t.Steps[i].Steps, vars)
		if e.stopIfIdle(group); !group.Phase.Fulfilled() {
			return node
		}
		if group.Phase != argo.NodeSucceeded {
			e.setOutboundSteps(node, group)
			return e.mark(node, group.Phase, group.Message)
		}
		inner := vars.Inner()
		for _, s := range steps {
			e.publish(inner, "steps."+s.step.Name, s, scope)
		}
		vars, before = inner, group
	}
	if before != nil {
		e.setOutboundSteps(node, before)
	}
	return e.complete(node, t, vars)
}

// stepGroup finds or makes the node of a group and hangs it below what ran before.
func (e *engine) stepGroup(node *argo.NodeStatus, scope string, i int, before *argo.NodeStatus) *argo.NodeStatus {
	name := fmt.Sprintf("%s[%d]", node.Name, i)
	if group := e.byName[name]; group != nil {
		return group
	}
	if e.stopping && !e.exiting {
		return nil
	}
	group := e.newNode(call{name: name, scope: scope, boundary: node}, argo.NodeTypeStepGroup, argo.NodeRunning, "")
	if before == nil {
		link(node, group)
		return group
	}
	if len(before.Children) == 0 {
		link(before, group)
	}
	for _, child := range before.Children {
		for _, id := range e.outbound(child) {
			link(e.nodes[id], group)
		}
	}
	return group
}

// ranStep is a step with the nodes that it became.
type ranStep struct {
	step  argo.Call
	loop  bool
	nodes []*argo.NodeStatus
}

// runGroup runs the steps of a group side by side.
func (e *engine) runGroup(c call, node, group *argo.NodeStatus, t *argo.Template, scope string, steps []argo.WorkflowStep, vars *expand.Scope) []ranStep {
	ran := make([]ranStep, 0, len(steps))
	done, failed := true, ""
	for _, s := range steps {
		base := call{Call: s.Call, name: group.Name + "." + s.Name, scope: scope, boundary: node, limit: t.Parallelism, onExit: c.onExit, names: map[string]string{"steps.name": s.Name}}
		r, err := e.runStep(base, vars, func(n *argo.NodeStatus) { link(group, n) })
		if err != nil {
			e.mark(group, argo.NodeError, plain.Error(err).Error())
			return nil
		}
		ran = append(ran, r)
		for _, n := range r.nodes {
			if n == nil || !n.Phase.Fulfilled() || !e.exitHook(base, n, vars, "steps.") {
				done = false
			} else if n.Phase.FailedOrError() && !continues(s.ContinueOn, n.Phase) && failed == "" {
				failed = fmt.Sprintf("child '%s' failed", n.ID)
			}
		}
	}
	switch {
	case group.Phase.Fulfilled() || !done:
	case failed != "":
		e.mark(group, argo.NodeFailed, failed)
	default:
		e.mark(group, argo.NodeSucceeded, "")
	}
	return ran
}

// runStep runs one step with its loop.
func (e *engine) runStep(base call, vars *expand.Scope, attach func(*argo.NodeStatus)) (ranStep, error) {
	r := ranStep{step: base.Call}
	items, loop, err := expand.Items(base.Loop, vars)
	if err != nil {
		return r, fmt.Errorf("step %s: %w", base.Name, err)
	}
	if !loop {
		n := e.runOne(base, vars)
		if n != nil {
			attach(n)
		}
		r.nodes = []*argo.NodeStatus{n}
		return r, nil
	}
	r.loop = true
	if len(items) == 0 {
		n := e.byName[base.name]
		if n == nil {
			n = e.newNode(base, argo.NodeTypeSkipped, argo.NodeSkipped, "Skipped, empty params")
			attach(n)
		}
		r.nodes = []*argo.NodeStatus{n}
		return r, nil
	}
	for i, item := range items {
		one := base
		one.name = expand.ItemName(base.name, i, item)
		n := e.runOne(one, expand.ItemScope(vars, item))
		if n != nil {
			attach(n)
		}
		r.nodes = append(r.nodes, n)
	}
	return r, nil
}

// runOne runs a step, a task or one item of a loop: condition, arguments, template.
func (e *engine) runOne(c call, vars *expand.Scope) *argo.NodeStatus {
	node := e.byName[c.name]
	if node != nil && node.Phase.Fulfilled() {
		return node
	}
	if len(c.names) > 0 {
		inner := vars.Inner()
		for k, v := range c.names {
			inner.Set(k, v)
		}
		vars = inner
	}
	if node == nil {
		if e.held(c) {
			return nil
		}
		if n := e.skipped(c, vars); n != nil {
			return n
		}
		args, err := e.arguments(c.Arguments, vars)
		if err != nil {
			return e.initError(c, err)
		}
		c.args = args // a node that exists has its inputs stored
	}
	var err error
	if c.Template, err = expand.Text(c.Template, vars); err != nil {
		return e.initError(c, err)
	}
	if c.TemplateRef != nil {
		ref, err := resolved(*c.TemplateRef, vars)
		if err != nil {
			return e.initError(c, err)
		}
		c.TemplateRef = &ref
	}
	return e.execute(c)
}

// skipped evaluates the condition of a step; nil means that it runs.
func (e *engine) skipped(c call, vars *expand.Scope) *argo.NodeStatus {
	when, err := expand.Text(c.When, vars)
	if err != nil {
		return e.initError(c, err)
	}
	run, err := expand.When(when)
	if err != nil {
		return e.initError(c, err)
	}
	if run {
		return nil
	}
	return e.newNode(c, argo.NodeTypeSkipped, argo.NodeSkipped, fmt.Sprintf("when '%s' evaluated false", when))
}

// publish makes the outputs of a step known to those after it.
func (e *engine) publish(s *expand.Scope, prefix string, r ranStep, scope string) {
	if r.loop {
		setLoop(s, prefix, r.nodes)
		return
	}
	if len(r.nodes) == 1 && r.nodes[0] != nil {
		t, _, err := e.template(scope, r.step)
		if err != nil {
			t = nil // a node that ended in this error has no outputs
		}
		e.setNode(s, prefix, r.nodes[0], t)
	}
}

// exitHook runs what a step's onExit or exit hook names, after the step. It
// returns false while that runs.
func (e *engine) exitHook(c call, n *argo.NodeStatus, vars *expand.Scope, prefix string) bool {
	hook, ok := c.Hooks[argo.ExitHook]
	if !ok && c.OnExit == "" || n.Type == argo.NodeTypeSkipped {
		return true
	}
	h := call{name: n.Name + ".onExit", scope: c.scope, boundary: c.boundary, flag: &argo.NodeFlag{Hooked: true}, onExit: true}
	if done := e.byName[h.name]; done != nil && done.Phase.Fulfilled() {
		return true
	}
	s := vars.Inner()
	e.setNode(s, prefix+c.Name, n, nil)
	if !ok {
		h.Call = argo.Call{Template: c.OnExit}
	} else {
		h.Call = argo.Call{Template: hook.Template, TemplateRef: hook.TemplateRef}
		run, err := e.hookRuns(hook, s)
		if err == nil && !run {
			return true
		}
		if err == nil {
			h.args, err = e.arguments(hook.Arguments, s)
		}
		if err != nil {
			link(n, e.initError(h, err))
			return true
		}
	}
	node := e.execute(h)
	if node == nil {
		return e.stopping
	}
	link(n, node)
	return node.Phase.Fulfilled()
}

func continues(on *argo.ContinueOn, p argo.NodePhase) bool {
	return on != nil && (on.Failed && p == argo.NodeFailed || on.Error && p == argo.NodeError)
}

func (e *engine) setOutboundSteps(node, last *argo.NodeStatus) {
	var all []string
	for _, child := range last.Children {
		all = append(all, e.outbound(child)...)
	}
	node.OutboundNodes = all
}

// stopIfIdle ends a node of an ending workflow once nothing below it runs.
func (e *engine) stopIfIdle(n *argo.NodeStatus) *argo.NodeStatus {
	if !e.stopping || n.Phase.Fulfilled() || e.exiting && e.wf.Spec.Shutdown == argo.ShutdownStop {
		return n
	}
	for _, other := range e.nodes {
		if other != n && !other.Phase.Fulfilled() && isBelow(other, n) {
			return n
		}
	}
	return e.mark(n, argo.NodeFailed, e.stopWhy)
}

// isBelow tells by the names, which are paths in the tree.
func isBelow(a, b *argo.NodeStatus) bool {
	return len(a.Name) > len(b.Name) && a.Name[:len(b.Name)] == b.Name && (a.Name[len(b.Name)] == '.' || a.Name[len(b.Name)] == '[' || a.Name[len(b.Name)] == '(')
}

func keepInputs(in argo.Inputs) *argo.Inputs {
	if len(in.Parameters) == 0 && len(in.Artifacts) == 0 {
		return nil
	}
	return &in
}
