package route

import (
	"context"
	"strings"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
)

// Resources that permissions are about.
const (
	Experiments = "experiments"
	Registered  = "registeredmodels"
	Artifacts   = "artifacts"
)

// Bounds of request bodies in bytes.
const (
	Small  = 1 << 20
	Batch  = 16 << 20 // 100 params of 6,000 characters, each escaped
	Inputs = 40 << 20 // a data set's profile alone may have 16 MiB
)

// V2 and V3 begin the paths of most calls.
const (
	V2 = "/api/2.0/mlflow"
	V3 = "/api/3.0/mlflow"
)

// Spec is a call without its messages.
type Spec struct {
	// Method and Path, the latter whole and under /api.
	Method, Path string
	// Verb and Resource are the permission that it needs.
	Verb, Resource string
	Summary        string
	// MaxBody bounds the request in bytes; 0 is Small.
	MaxBody int64
}

// Call is one call of the API under both of its prefixes.
func Call[Req, Resp any, PResp interface {
	*Resp
	mlwire.Appender
}](c mlwire.Codec, s Spec, execute func(context.Context, *Req) (*Resp, error)) []server.Endpoint {
	e := server.Typed(s.Method, s.Path, server.Can(s.Verb, s.Resource), c, execute)
	e.Summary, e.MaxBody = s.Summary, s.MaxBody
	if e.MaxBody == 0 {
		e.MaxBody = Small
	}
	return Both(e)
}

// Both registers a route of /api under /ajax-api, too.
func Both(e server.Endpoint) []server.Endpoint {
	ajax := e
	ajax.Pattern = "/ajax-api" + strings.TrimPrefix(e.Pattern, "/api")
	return []server.Endpoint{e, ajax}
}

// Flat joins groups of routes.
func Flat(groups ...[]server.Endpoint) (list []server.Endpoint) {
	for _, g := range groups {
		list = append(list, g...)
	}
	return list
}
