// Package monitorhttp is the HTTP face of monitoring.
//
//	GET /kiwerk/v1/projects/{namespace}/alerts
//	GET /kiwerk/v1/projects/{namespace}/endpoints/{name}/windows
//
// Both take ?limit=N and list the newest first.
package monitorhttp
