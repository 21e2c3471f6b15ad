// Package route is what the parts of tracking share when they declare routes
// of MLflow's API: [Call] makes the endpoints of one call under the prefixes
// that clients use, [Mentions] reads from a request which objects it names, and
// a few message types appear in many answers.
//
// It knows no store and no message of one part alone.
package route
