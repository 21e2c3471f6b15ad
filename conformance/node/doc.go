// Package node checks that manifests written for real clusters mean the same on
// the local one: what a container's process gets, where its files come from, when
// it counts as ready, what it may do, how pods find each other, what controllers
// make of it.
//
// Each object in testdata that carries annotations expect/… is a check; the
// annotations say what must become true of it:
//
//	expect/phase, expect/qos, expect/pod-reason    of the pod
//	expect/exit-code, expect/reason, expect/message, expect/waiting, expect/restarts,
//	expect/restarts-at-most, expect/container-ready  of its container "main", or of the only one
//	expect/log        an expression that its log matches
//	expect/event      an expression that "REASON MESSAGE" of one of its events matches
//	expect/condition  TYPE=STATUS of any object
//	expect/ready-replicas, expect/daemons-ready, expect/claim, expect/disruptions-allowed
//	expect/refused    an expression for the error with which the API server refuses it
//	only              "root": not possible for an ordinary user, who has no further ids
//
// All objects are created at once on one platform, as root and as an ordinary user.
package node
