// Package execpath finds the program that a command names as execvp does, but
// with the search path and the folder of whoever is to run it, not our own.
//
// It stands in for os/exec in the agent, which has to stay small.
package execpath
