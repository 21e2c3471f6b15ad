// Package mcp is MLflow's registry of MCP servers: what tools a server of the
// Model Context Protocol has, in which versions, and where it can be reached.
//
//	server ─┬─ versions   server.json, tools; draft ⇄ active ⇄ deprecated → deleted
//	        ├─ aliases    names of versions; "latest" is found, not stored
//	        ├─ endpoints  addresses, each of a version or of an alias
//	        └─ tags       as versions have, too
//
// The latest version is the highest by the rules of semantic versions among
// the active ones, or among all if none is active. A version that was deleted
// stays as a row, so that its number is not given twice; its aliases and
// endpoints go with it.
//
// Nothing here is called: the registry only keeps what clients ask for. Bodies
// are plain JSON in which null and "not there" differ, not protocol buffers as
// in the rest of the API (codec.go).
package mcp
