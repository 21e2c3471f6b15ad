package controlplane

import (
	"net/http"
	"strings"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	genericapiserver "k8s.io/apiserver/pkg/server"
)

// ExtraGroup is a group version that no storage is behind.
//
// The usual way would be an aggregated server with an address, a certificate
// and a service. In one process the handler is called instead, behind the API
// server's own authentication, authorisation and audit.
type ExtraGroup struct {
	Group string
	// Path is /apis/GROUP/VERSION.
	Path    string
	Handler http.Handler
	// Discovery names its resources.
	Discovery apidiscoveryv2.APIVersionDiscovery
}

// intercept puts the handler where authorised requests arrive.
func (g *ExtraGroup) intercept(c *genericapiserver.Config) {
	outer := c.BuildHandlerChainFunc
	c.BuildHandlerChainFunc = func(inner http.Handler, c *genericapiserver.Config) http.Handler {
		return outer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == g.Path || strings.HasPrefix(r.URL.Path, g.Path+"/") {
				g.Handler.ServeHTTP(w, r)
				return
			}
			inner.ServeHTTP(w, r)
		}), c)
	}
}

// announce adds the group to what clients find when they ask for all groups at once.
func (g *ExtraGroup) announce(s *genericapiserver.GenericAPIServer) {
	s.AggregatedDiscoveryGroupManager.AddGroupVersion(g.Group, g.Discovery)
}
