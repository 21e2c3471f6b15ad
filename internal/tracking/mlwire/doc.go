// Package mlwire is the JSON of MLflow's REST API, which is that of protocol
// buffers with a few habits of its own: snake_case names, 64-bit integers as
// numbers, NaN and infinities as strings, empty fields left out, two spaces
// of indentation, ASCII only. Numbers may arrive as strings, unknown fields
// are ignored, GET requests carry their fields in the query, and old clients
// send their JSON encoded twice.
//
// [Codec] is the server.Codec of all routes of the API. Requests are structs
// with `ml` tags; responses implement [Appender].
//
// The package knows nothing of what the messages mean.
package mlwire
