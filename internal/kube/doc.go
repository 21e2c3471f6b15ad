// Package kube is what all reconcilers share, on top of controller-runtime.
//
//   - [Patcher]: the only place that summarises conditions, sets the observed
//     generation, patches metadata and status, emits events after the state
//     they tell of is stored, and turns the kind of an error into a result.
//   - [Stalled] and [Wait]: errors with a kind; everything else is retried.
//   - [SpecCheck]: names fields of a spec that nobody knows in a condition.
//   - [Apply]: server-side apply of children with our field owner.
//   - [Platform]: the address of the platform and the token, put into pods.
//   - [EnsureCRDs]: installs the kinds and waits until they are served.
//
// Non-goal: it knows no capability and decides nothing about any kind.
package kube
