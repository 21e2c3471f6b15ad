// Package store keeps tracking in SQL: the tables of migrations/, the writes
// that go to them as shared transactions, and the searches.
//
// Names of metrics, params and tags are interned (keys.go); metrics live in a
// table whose order is that of their history (metrics.go); the newest values,
// params and tags have indexes by value, which searches start from
// (search.go). Every access is bound to a namespace.
package store
