package alone

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/app/front"
	"github.com/kiwerk/kiwerk/internal/server"
)

// privateHosts are what `mlflow server` lets others call it beside loopback names.
var privateHosts = []string{
	"10.*", "192.168.*",
	"172.16.*", "172.17.*", "172.18.*", "172.19.*", "172.20.*", "172.21.*", "172.22.*", "172.23.*",
	"172.24.*", "172.25.*", "172.26.*", "172.27.*", "172.28.*", "172.29.*", "172.30.*", "172.31.*",
	"fd*", "0.0.0.0",
}

// hosts under which the server may be called.
func (o *Options) hosts() []string {
	if o.AnyHost {
		return []string{"*"}
	}
	list := slices.Clone(o.Hosts)
	if len(list) == 0 && !loopback(o.Host) {
		list = slices.Concat(list, privateHosts, []string{strings.ToLower(o.Host)})
		if name, err := os.Hostname(); err == nil {
			list = append(list, strings.ToLower(name))
		}
	}
	return list
}

func (o *Options) origins() []string {
	if o.AnyHost {
		return []string{"*"}
	}
	return o.Origins
}

// headers puts what concerns browsers around the routes: framing, and answers
// to pages of other origins that are allowed to call.
func (o *Options) headers(next http.Handler, allowed func(origin string) bool) http.Handler {
	frame := o.FrameOptions
	if frame == "" {
		frame = "SAMEORIGIN"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		if !strings.EqualFold(frame, "NONE") && !o.AnyHost {
			h.Set("X-Frame-Options", strings.ToUpper(frame))
		}
		if origin := r.Header.Get("Origin"); origin != "" && allowed(origin) {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Allow-Credentials", "true")
			h.Add("Vary", "Origin")
			if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
				h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE, OPTIONS")
				h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-MLFLOW-WORKSPACE, X-MLflow-Experiment-Id")
				w.WriteHeader(http.StatusNoContent)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// prefixed serves what front does, routes and probes, under a prefix, too.
func prefixed(prefix string, front, next http.Handler) http.Handler {
	if prefix == "" {
		return next
	}
	stripped := http.StripPrefix(prefix, front)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, prefix+"/") {
			stripped.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// everyone is the user of a server that trusts its network.
type everyone struct{}

// Authenticate implements server.Authenticator.
func (everyone) Authenticate(*http.Request) (server.User, error) {
	return server.User{Name: "anyone", Local: true}, nil
}

// sameUser trusts the processes of the user who runs the server, on this machine.
type sameUser struct {
	own func(local, remote netip.AddrPort) (bool, error)
}

// Authenticate implements server.Authenticator. Credentials that a client
// sends are not looked at: there is nobody to know.
func (a sameUser) Authenticate(r *http.Request) (server.User, error) {
	if err := front.CheckPeer(r.Context(), a.own); err != nil {
		return server.User{}, err
	}
	return server.User{Name: "local", Local: true}, nil
}

var errNotLocal = errors.New("only the user at this machine has permissions here")

// all permits everything to who was let in.
type all struct{}

// Authorize implements server.Authorizer.
func (all) Authorize(_ context.Context, u server.User, _ server.Permission, _ string) error {
	if !u.Local {
		return errNotLocal
	}
	return nil
}
