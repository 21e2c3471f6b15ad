// Package kubectl is the real kubectl, linked into the program and pointed at
// the local cluster.
package kubectl
