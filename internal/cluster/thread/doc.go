// Package thread runs functions that change what belongs to a thread, such as
// its namespaces, without leaving a changed thread behind.
package thread
