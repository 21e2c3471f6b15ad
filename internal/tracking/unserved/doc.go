// Package unserved answers the calls of MLflow's server that this one does not
// have: it names what is missing and what to use. A client must be able to
// tell "not here" from "not found", and not ask again for minutes.
package unserved
