package engine

import (
	"fmt"
	"slices"
	"strings"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/pipeline/expand"
	"github.com/kiwerk/kiwerk/internal/text/plain"
)

// dag is one walk over the tasks of a DAG node.
type dag struct {
	call    call
	node    *argo.NodeStatus
	tmpl    *argo.Template
	scope   string
	vars    *expand.Scope
	tasks   map[string]*argo.DAGTask
	depends map[string]*expand.Depends
	walked  map[string]bool
	ran     map[string]ranStep
	failing bool // no new tasks: one has failed and failFast holds
}

// runDAG runs the tasks whose dependencies have ended.
func (e *engine) runDAG(c call, node *argo.NodeStatus, t *argo.Template, scope string, in argo.Inputs) *argo.NodeStatus {
	if node == nil {
		node = e.newNode(c, argo.NodeTypeDAG, argo.NodeRunning, "")
		node.Inputs = keepInputs(in)
	}
	d := &dag{
		call: c, node: node, tmpl: t, scope: scope, vars: e.templateScope(c, t, in),
		tasks: map[string]*argo.DAGTask{}, depends: map[string]*expand.Depends{}, walked: map[string]bool{}, ran: map[string]ranStep{},
	}
	for i := range t.DAG.Tasks {
		task := &t.DAG.Tasks[i]
		dep, err := TaskDepends(task)
		if err != nil {
			return e.mark(node, argo.NodeError, fmt.Sprintf("task %s: %v", task.Name, err))
		}
		d.tasks[task.Name], d.depends[task.Name] = task, dep
	}
	targets, err := d.targets(in, e)
	if err != nil {
		return e.mark(node, argo.NodeError, plain.Error(err).Error())
	}
	d.failing = (t.DAG.FailFast == nil || *t.DAG.FailFast) && e.assess(d, targets).FailedOrError()
	for _, name := range targets {
		if err := e.runTask(d, name); err != nil {
			return e.mark(node, argo.NodeError, plain.Error(err).Error())
		}
	}
	return e.endDAG(d, targets)
}

// TaskDepends is what a task waits for, from depends or dependencies.
func TaskDepends(t *argo.DAGTask) (*expand.Depends, error) {
	if t.Depends != "" {
		return expand.ParseDepends(t.Depends)
	}
	return expand.DependsOn(t.Dependencies), nil
}

// targets are the tasks that the DAG is for: those named, else those that no other waits for.
func (d *dag) targets(in argo.Inputs, e *engine) ([]string, error) {
	if d.tmpl.DAG.Target != "" {
		text, err := expand.Text(d.tmpl.DAG.Target, d.vars)
		if err != nil {
			return nil, err
		}
		names := strings.Fields(text)
		for _, n := range names {
			if d.tasks[n] == nil {
				return nil, fmt.Errorf("dag.target: task %q is not defined", n)
			}
		}
		return names, nil
	}
	waited := map[string]bool{}
	for _, dep := range d.depends {
		for _, t := range dep.Tasks() {
			waited[t] = true
		}
	}
	var names []string
	for _, t := range d.tmpl.DAG.Tasks {
		if !waited[t.Name] {
			names = append(names, t.Name)
		}
	}
	return names, nil
}

func (d *dag) nodeName(task string) string { return d.node.Name + "." + task }

// runTask runs what a task depends on, then the task. It asks each task once per walk.
func (e *engine) runTask(d *dag, name string) error {
	if d.walked[name] {
		return nil
	}
	d.walked[name] = true
	task := d.tasks[name]
	if task == nil {
		return fmt.Errorf("task %q is not defined", name)
	}
	deps := d.depends[name].Tasks()
	for _, dep := range deps {
		if err := e.runTask(d, dep); err != nil {
			return err
		}
	}
	node := e.byName[d.nodeName(name)]
	if node != nil && node.Phase.Fulfilled() && (!task.Set() || node.Type == argo.NodeTypeSkipped) {
		return e.endTask(d, task, ranStep{step: task.Call, nodes: []*argo.NodeStatus{node}})
	}
	if !d.ended(deps) {
		return nil
	}
	base := call{Call: task.Call, name: d.nodeName(name), scope: d.scope, boundary: d.node, limit: d.tmpl.Parallelism, onExit: d.call.onExit, names: map[string]string{"tasks.name": task.Name}}
	if node == nil && !e.dependsHold(d, name) {
		e.attachTask(d, name, e.newNode(base, argo.NodeTypeSkipped, argo.NodeOmitted, "omitted: depends condition not met"))
		return e.endTask(d, task, ranStep{step: task.Call, nodes: []*argo.NodeStatus{e.byName[base.name]}})
	}
	if node == nil && (d.failing || e.held(base)) {
		return nil
	}
	vars := d.vars.Inner()
	for dep, r := range d.ran {
		e.publish(vars, "tasks."+dep, r, d.scope)
	}
	if task.Set() {
		return e.runTaskGroup(d, base, node, vars)
	}
	n := e.runOne(base, vars)
	if n == nil {
		return nil
	}
	e.attachTask(d, name, n)
	return e.endTask(d, task, ranStep{step: task.Call, nodes: []*argo.NodeStatus{n}})
}

// ended tells whether tasks have ended, their exit handlers included.
func (d *dag) ended(tasks []string) bool {
	for _, t := range tasks {
		if r, ok := d.ran[t]; !ok || r.nodes == nil {
			return false
		}
	}
	return true
}

// runTaskGroup runs a looped task below a node of its own.
func (e *engine) runTaskGroup(d *dag, base call, group *argo.NodeStatus, vars *expand.Scope) error {
	task := d.tasks[base.Name]
	items, _, err := expand.Items(base.Loop, vars)
	if err != nil {
		e.attachTask(d, base.Name, e.initError(base, err))
		return e.endTask(d, task, ranStep{step: task.Call, nodes: []*argo.NodeStatus{e.byName[base.name]}})
	}
	if group == nil {
		if len(items) == 0 {
			group = e.newNode(base, argo.NodeTypeSkipped, argo.NodeSkipped, "Skipped, empty params")
		} else {
			group = e.newNode(base, argo.NodeTypeTaskGroup, argo.NodeRunning, "")
		}
		e.attachTask(d, base.Name, group)
	}
	r := ranStep{step: task.Call, loop: true, nodes: []*argo.NodeStatus{}}
	if phase, done := e.runItems(d, base, group, items, vars, &r); done && !group.Phase.Fulfilled() {
		e.mark(group, phase, "")
	}
	if e.stopIfIdle(group); group.Phase.Fulfilled() {
		d.ran[base.Name] = r
	}
	return nil
}

// runItems runs the items of a looped task and tells how they end together.
func (e *engine) runItems(d *dag, base call, group *argo.NodeStatus, items []argo.Item, vars *expand.Scope, r *ranStep) (phase argo.NodePhase, done bool) {
	phase, done = argo.NodeSucceeded, true
	for i, item := range items {
		one := base
		one.name = expand.ItemName(base.name, i, item)
		if e.byName[one.name] == nil && (d.failing || group.Phase.Fulfilled()) {
			done = false // and never begins
			continue
		}
		n := e.runOne(one, expand.ItemScope(vars, item))
		r.nodes = append(r.nodes, n)
		if n == nil {
			done = false
			continue
		}
		link(group, n)
		if !n.Phase.Fulfilled() || !e.exitHook(one, n, vars, "tasks.") {
			done = false
		}
		if n.Phase.FailedOrError() {
			phase = n.Phase
		}
	}
	return phase, done
}

// endTask remembers a task that has ended, once its exit handler has, too.
func (e *engine) endTask(d *dag, task *argo.DAGTask, r ranStep) error {
	n := r.nodes[0]
	if !n.Phase.Fulfilled() {
		return nil
	}
	base := call{Call: task.Call, name: n.Name, scope: d.scope, boundary: d.node, onExit: d.call.onExit}
	if e.exitHook(base, n, d.vars, "tasks.") {
		d.ran[task.Name] = r
	}
	return nil
}

// attachTask hangs a node below what its task depends on, or below the DAG.
func (e *engine) attachTask(d *dag, name string, n *argo.NodeStatus) {
	deps := d.depends[name].Tasks()
	if len(deps) == 0 {
		link(d.node, n)
		return
	}
	for _, dep := range deps {
		depNode := e.byName[d.nodeName(dep)]
		if depNode == nil {
			continue
		}
		for _, id := range e.outbound(depNode.ID) {
			link(e.nodes[id], n)
		}
	}
}

// dependsHold evaluates what a task depends on; all of it has ended.
func (e *engine) dependsHold(d *dag, name string) bool {
	return d.depends[name].Eval(func(task string, r expand.Result) bool {
		n := e.byName[d.nodeName(task)]
		switch r {
		case expand.Succeeded:
			return n.Phase == argo.NodeSucceeded
		case expand.Failed:
			return n.Phase == argo.NodeFailed
		case expand.Errored:
			return n.Phase == argo.NodeError
		case expand.Skipped:
			return n.Phase == argo.NodeSkipped
		case expand.Omitted:
			return n.Phase == argo.NodeOmitted
		case expand.Daemoned:
			return false
		case expand.AnySucceeded, expand.AllFailed:
			return e.groupHolds(n, r)
		default: // no result named
			return n.Phase == argo.NodeSucceeded || n.Phase == argo.NodeSkipped || continues(d.tasks[task].ContinueOn, n.Phase)
		}
	})
}

func (e *engine) groupHolds(group *argo.NodeStatus, r expand.Result) bool {
	if group.Type != argo.NodeTypeTaskGroup {
		return false
	}
	succeeded, failed := 0, 0
	for _, id := range group.Children {
		switch n := e.nodes[id]; {
		case n == nil || !strings.HasPrefix(n.Name, group.Name+"("):
		case n.Phase == argo.NodeSucceeded:
			succeeded++
		case n.Phase == argo.NodeFailed: // errors are not failures here
			failed++
		}
	}
	if r == expand.AnySucceeded {
		return succeeded > 0
	}
	return failed > 0 && failed == len(group.Children)
}

// assess tells how the DAG ends, as far as it can be told: Running while a
// target has no end. A task that did not run inherits the worst end of what it
// depends on.
func (e *engine) assess(d *dag, targets []string) argo.NodePhase {
	memo := map[string]argo.NodePhase{}
	result := argo.NodeSucceeded
	failFast := d.tmpl.DAG.FailFast == nil || *d.tmpl.DAG.FailFast
	for _, t := range targets {
		switch p := e.inherited(d, t, memo); {
		case p == "":
			if result == argo.NodeSucceeded || !failFast {
				result = argo.NodeRunning
			}
			if !failFast {
				return result
			}
		case p.FailedOrError() && !continues(d.tasks[t].ContinueOn, p):
			if result == argo.NodeSucceeded || result == argo.NodeRunning {
				result = p
			}
		}
	}
	return result
}

func (e *engine) inherited(d *dag, task string, memo map[string]argo.NodePhase) argo.NodePhase {
	if p, ok := memo[task]; ok {
		return p
	}
	memo[task] = "" // a cycle, which validation refuses, ends here
	n := e.byName[d.nodeName(task)]
	if n == nil || !n.Phase.Fulfilled() {
		return ""
	}
	phase := n.Phase
	if !phase.Completed() {
		phase = argo.NodeSucceeded
		for _, dep := range d.depends[task].Tasks() {
			if p := e.inherited(d, dep, memo); p.FailedOrError() && phase != argo.NodeError {
				phase = p
			}
		}
	}
	memo[task] = phase
	return phase
}

// endDAG ends the node when nothing of it runs any more and its end is known.
func (e *engine) endDAG(d *dag, targets []string) *argo.NodeStatus {
	if e.stopping {
		e.stopIfIdle(d.node)
	}
	if d.node.Phase.Fulfilled() {
		return d.node
	}
	if e.runs(d) {
		return d.node
	}
	phase := e.assess(d, targets)
	if phase == argo.NodeRunning {
		return d.node
	}
	d.node.OutboundNodes = e.dagOutbound(d, targets)
	if phase.FailedOrError() {
		return e.mark(d.node, phase, "")
	}
	vars := d.vars.Inner()
	for name, r := range d.ran {
		e.publish(vars, "tasks."+name, r, d.scope)
	}
	return e.complete(d.node, d.tmpl, vars)
}

// runs tells whether a task has begun and not ended.
func (e *engine) runs(d *dag) bool {
	for _, t := range d.tmpl.DAG.Tasks {
		if e.byName[d.nodeName(t.Name)] == nil || !d.walked[t.Name] {
			continue
		}
		if _, ended := d.ran[t.Name]; !ended {
			return true
		}
	}
	return false
}

func (e *engine) dagOutbound(d *dag, targets []string) []string {
	var out []string
	for _, t := range targets {
		n := e.byName[d.nodeName(t)]
		if n == nil {
			continue
		}
		for _, id := range e.outbound(n.ID) {
			if !slices.Contains(out, id) {
				out = append(out, id)
			}
		}
	}
	return out
}
