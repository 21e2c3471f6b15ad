// Package graphql serves /graphql, which MLflow's web page asks for
// experiments, runs, histories, artifacts and model versions.
//
// The fields of the roots are calls of MLflow's REST API ([Call]): their input
// travels as that call's request and what they give is read from its answer,
// so both always say the same. schema.graphql names the types; a name in it is
// a name of the API in camel case. As in upstream's, whose answers are protocol
// buffers, a field that is not set has the zero value of its type.
//
// A query is measured before it is looked at closer (limits.go), and every
// root field asks for the permission of its call.
//
// There is no introspection: the schema is no secret, but it is in this folder.
package graphql
