// Package engine decides what a workflow does next. [Decide] is a pure
// function: from the workflow, its pods and the time it computes the new
// status and a [Plan] of what to create, stop and delete.
//
//	workflow ─┐              ┌─▶ status (nodes, phase, conditions, labels)
//	pods ─────┼──▶ Decide ───┤
//	time ─────┘              └─▶ Plan (pods to create, stop, delete; when to look again)
//
// The tree of templates is walked from the entrypoint; a node that has ended
// is not looked at again, so finished steps never run twice. A node's name
// says where it stands (wf[0].train(1:b)(2)), its id is the workflow's name
// with a 32-bit hash of the node's name, as Argo makes them; the name of a
// pod follows from the node, which makes creating it idempotent. Ids that
// collide get the hash of the name with a suffix.
//
//	name            type
//	wf              of the entrypoint's template
//	parent[i]       StepGroup, i-th group of Steps
//	parent[i].step  one step
//	parent.task     one task of a DAG
//	…(i:value)      i-th item of a loop; in a DAG below a TaskGroup
//	…(n)            n-th attempt, below a Retry
//	node.onExit     exit handler
//
// Pods are made by package pod; this package knows no client.
package engine
