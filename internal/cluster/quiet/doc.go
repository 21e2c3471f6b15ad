// Package quiet keeps a library from writing to the terminal.
//
// The API server's etcd client makes its logger, which writes to standard
// error, when the program is initialised, long before any function of ours
// runs. Packages whose dependencies are ready are initialised in the order of
// their paths, so this one, which needs little, comes before all of k8s.io and
// can turn the default of that logger away. What the client would have told,
// the API server returns as errors, too.
package quiet
