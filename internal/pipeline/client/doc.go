// Package client is what a program outside of the platform does with workflows,
// by the routes of the Argo server: list and show runs, start one from a file or
// a template, act on it, wait for it, and find the pod of a step.
//
// How a request travels is the caller's ([Call]); what people read and in which
// language is the command line's. The other end is package ops.
package client
