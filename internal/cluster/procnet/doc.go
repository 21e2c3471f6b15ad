// Package procnet reads from /proc which sockets listen and which process has
// them open. A file that cannot be read, or a process that ends meanwhile, is
// left out: what remains is what can be known.
package procnet
