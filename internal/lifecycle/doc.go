// Package lifecycle gives every goroutine of the program an owner.
//
// A [Component] is initialised, started and stopped; a [Group] does so for many
// in order and undoes it in reverse. A component starts its goroutines in Start
// and has ended all of them when Stop returns. What ends on its own before it
// was stopped reports that through [Group.Fail], so that the program stops
// with a reason instead of running on without a part of it.
//
// The package knows nothing of what the components do.
package lifecycle
