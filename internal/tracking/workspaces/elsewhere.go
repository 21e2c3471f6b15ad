package workspaces

import (
	"context"
	"net/http"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// Namespaces of Kubernetes, as a user sees them.
type Namespaces interface {
	// Visible are the names of those that a user may see, sorted.
	Visible(ctx context.Context, u server.User) ([]string, error)
	// Sees tells whether there is a namespace that a user may see.
	Sees(ctx context.Context, u server.User, name string) (bool, error)
}

// Elsewhere are the same routes beside Kubernetes: its namespaces can be read;
// who makes, changes and deletes them is its business.
func Elsewhere(codec mlwire.Codec, n Namespaces) []server.Endpoint {
	list := (&Service{Options{Codec: codec}}).Endpoints()
	for i := range list {
		e := &list[i]
		if e.Method != http.MethodGet {
			e.Permission = server.Public("it only says what a workspace is here")
			e.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { codec.Error(w, r, notHere(r)) })
			continue
		}
		e.Permission = server.Known("shows the namespaces that the caller may see")
		e.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer, err := read(r, n)
			if err != nil {
				codec.Error(w, r, err)
				return
			}
			server.WriteJSON(w, http.StatusOK, answer)
		})
	}
	return list
}

func notHere(r *http.Request) error {
	e := server.Errorf(http.StatusNotImplemented, "NOT_IMPLEMENTED", "%s %s is not served here: a workspace is a namespace of Kubernetes", r.Method, r.URL.Path)
	e.Remedy = "make it with kubectl create namespace NAME, delete it with kubectl delete namespace NAME"
	return e
}

func read(r *http.Request, n Namespaces) (map[string]any, error) {
	u, name := server.UserOf(r.Context()), r.PathValue("workspace_name")
	if name != "" {
		sees, err := n.Sees(r.Context(), u, name)
		if err == nil && !sees {
			err = model.Missing("Workspace '%s' not found", name)
		}
		return map[string]any{"workspace": workspace{Name: name}}, err
	}
	names, err := n.Visible(r.Context(), u)
	all := make([]workspace, len(names))
	for i := range names {
		all[i].Name = names[i]
	}
	return map[string]any{"workspaces": all}, err
}
