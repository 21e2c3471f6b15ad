package server

import (
	"context"
	"errors"
	"net/http"
)

// User is who calls.
type User struct {
	Name   string
	Groups []string
	// Local is the person at this machine: the uid that runs the platform, or
	// the bearer of the token in the data directory. Everything is permitted.
	Local bool
	// Pod is where the token belongs, if it does to one.
	Pod Pod
}

// Pod that a token was made for.
type Pod struct{ Namespace, Name, UID, Node string }

// Authenticator finds out who sent a request.
type Authenticator interface {
	// Authenticate returns ErrUnauthenticated (perhaps wrapped) when it cannot
	// tell. An Error is sent as it is: with status 401 by those who do not take
	// tokens, with 503 when nobody can look up who asks.
	Authenticate(r *http.Request) (User, error)
}

// Authorizer decides whether a user has a permission in a namespace.
type Authorizer interface {
	Authorize(ctx context.Context, u User, p Permission, namespace string) error
}

// ErrUnauthenticated means that no identity came with a request.
var ErrUnauthenticated = errors.New("no valid credentials")

type userKey struct{}

// UserOf is the caller of the request that ctx belongs to.
func UserOf(ctx context.Context) User {
	u, _ := ctx.Value(userKey{}).(User)
	return u
}

type permitKey struct{}

// Permit tells whether the caller of the request may do something beside what
// the route asked for, in the same project; the answer is an error for the caller.
func Permit(ctx context.Context, p Permission) error {
	ask, ok := ctx.Value(permitKey{}).(func(context.Context, Permission) error)
	if !ok {
		return Errorf(http.StatusForbidden, "PERMISSION_DENIED", "nobody may %s here", p)
	}
	return ask(ctx, p)
}

type namespaceKey struct{}

// NamespaceOf is the project that the request is about; authorisation was asked for this one.
func NamespaceOf(ctx context.Context) string {
	if ns, ok := ctx.Value(namespaceKey{}).(string); ok {
		return ns
	}
	return DefaultNamespace
}
