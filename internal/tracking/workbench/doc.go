// Package workbench is what a person does with runs and models through a
// tracking server: find and flatten runs, compare them, export one with its
// files, download a model so that it can go on after a break.
//
// It talks through package client and decides in pure functions; how it is
// called and printed is the command line's.
package workbench
