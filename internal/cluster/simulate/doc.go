// Package simulate plays nodes that do not exist, so that schedulers, queues
// and controllers can be tried with a thousand of them.
//
// A node with the label [Label] is one: [Controller] keeps its lease alive and
// lets the pods that are bound to it go through their lives – Running at once,
// Succeeded or Failed after the time that an annotation names – without a
// process behind them. [Nodes] makes the objects. All that is known stands in
// the API: a controller that was killed is followed by one that goes on.
//
//	node (label)  ── lease renewed
//	pod bound to it: Pending ── Running ── Succeeded or Failed
//	                    └─────────┴── deleted at once when asked for
package simulate
