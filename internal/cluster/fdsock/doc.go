// Package fdsock carries small JSON messages and open files between two
// processes of the local cluster over a unix stream socket.
//
// [Listen] and [Dial] make a socket that only its owner can reach; [Pair]
// makes two connected ends, one of which is inherited by a child. A message is
// a length, a JSON value and the files that were passed with it. Files are
// duplicated by the kernel, so both sides close their own copy.
//
// The package uses raw system calls instead of package net: it is linked into
// the agent, which starts once per container and has to start fast. It knows
// nothing of what the messages mean.
package fdsock
