// Package server is the HTTP face of the platform: one port, one list of routes.
//
// Every route is an [Endpoint] value that states who may call it. [New] refuses
// an endpoint without a [Permission], so nothing is open by accident; what is
// meant to be open says so with [Public] and a reason.
//
//	request ─ host and origin ─ authenticate ─ authorise ─ limit body ─ Execute ─ codec ─ response
//
// An endpoint's Execute gets a decoded request and returns a response or an
// error; a [Codec] turns both into bytes, because each foreign API has JSON
// rules and an error envelope of its own. [Authenticator] and [Authorizer] are
// declared here and filled by the composition root, so this package links no
// Kubernetes client and knows no capability.
package server
