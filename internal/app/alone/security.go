package alone

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"regexp"
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

// localPage is an origin of a page that this machine serves.
var localPage = regexp.MustCompile(`^http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?$`)

// names are what is known of who calls.
type names interface {
	KnownHost(hostport string) bool
	KnownOrigin(origin string) bool
}

// headers puts what concerns browsers around the routes, as upstream has it:
// framing, the refusal of foreign names, and answers to pages of other origins
// that may call, which are those of this machine and those that are named.
func (o *Options) headers(next http.Handler, known names) http.Handler {
	frame := o.FrameOptions
	if frame == "" {
		frame = "SAMEORIGIN"
	}
	anyOrigin := slices.Contains(o.origins(), "*")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		if !o.AnyHost && !strings.EqualFold(frame, "NONE") {
			h.Set("X-Frame-Options", strings.ToUpper(frame))
		}
		if !known.KnownHost(r.Host) {
			http.Error(w, fmt.Sprintf("Invalid Host header: %q is not a name of this server. Name it with --allowed-hosts if it is.", r.Host), http.StatusForbidden)
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" && (known.KnownOrigin(origin) || localPage.MatchString(origin)) {
			h.Add("Vary", "Origin")
			if anyOrigin { // no page may use what a browser keeps for this one
				h.Set("Access-Control-Allow-Origin", "*")
			} else {
				h.Set("Access-Control-Allow-Origin", origin)
				h.Set("Access-Control-Allow-Credentials", "true")
			}
			if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
				h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE, OPTIONS")
				h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-MLFLOW-WORKSPACE, X-MLflow-Experiment-Id, X-MLflow-Run-Id")
				h.Set("Access-Control-Max-Age", "600")
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
		return server.User{}, &server.Error{
			Status: http.StatusUnauthorized, Code: "UNAUTHENTICATED", Cause: err,
			Message: "this server is for the user who started it, on the same machine, and the request comes from somebody else",
			Remedy:  "start it with --app-name basic-auth to give others a login, or with --insecure to trust everybody who reaches it",
		}
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
