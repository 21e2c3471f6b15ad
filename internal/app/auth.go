package app

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kiwerk/kiwerk/internal/app/front"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/server"
)

// Local is what a laptop adds to the rights of Kubernetes.
type Local struct {
	// Token lies, 0600, in the data directory; its bearer may do everything.
	Token string
	// OwnPeer tells whether the process at the other end of a loopback
	// connection belongs to the user who started the platform.
	OwnPeer func(local, remote netip.AddrPort) (bool, error)
	// PodNetwork tells that pods have addresses of their own, at which the gateway finds them.
	PodNetwork bool
	// URL is the platform's address for people, where it is not that for pods.
	URL string
	// Dial connects from the user's network, which may not be this process's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// apiAudience is what ordinary service-account tokens are made for.
const apiAudience = "https://kubernetes.default.svc.cluster.local"

const (
	identityTTL = 30 * time.Second
	decisionTTL = 10 * time.Second
	refusalTTL  = time.Second
	maxCached   = 4096
)

// authenticator finds the user of a request: the data directory's token, a
// token that Kubernetes knows, or the uid at the other end of the connection.
type authenticator struct {
	local *Local
	kube  client.Client
	cache *answers[[sha256.Size]byte, identity]
}

// identity is what a review said; it is kept for refusals too.
type identity struct {
	user server.User
	err  error
}

func newAuthenticator(local *Local, c client.Client, clk clock.PassiveClock) *authenticator {
	return &authenticator{local: local, kube: c, cache: newAnswers[[sha256.Size]byte, identity](clk, identityTTL, maxCached)}
}

// Authenticate implements server.Authenticator. A token that is wrong is an
// error even where none would be needed: falling back would hide the mistake.
func (a *authenticator) Authenticate(r *http.Request) (server.User, error) {
	token, given := bearer(r)
	if !given {
		return a.fromPeer(r)
	}
	if a.local != nil && subtle.ConstantTimeCompare([]byte(token), []byte(a.local.Token)) == 1 {
		return localUser, nil
	}
	key := sha256.Sum256([]byte(token))
	if id, ok := a.cache.get(key); ok {
		return id.user, id.err
	}
	user, err := a.review(r.Context(), token)
	if err == nil || errors.Is(err, server.ErrUnauthenticated) {
		a.cache.put(key, identity{user, err})
	}
	return user, err
}

var localUser = server.User{Name: "local", Local: true}

// bearer takes the token from the header; MLflow's clients send a password instead.
func bearer(r *http.Request) (token string, given bool) {
	h := r.Header.Get("Authorization")
	if h == "" {
		return "", false
	}
	if scheme, rest, ok := strings.Cut(h, " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(rest), true
	}
	_, password, _ := r.BasicAuth()
	return password, true
}

func (a *authenticator) review(ctx context.Context, token string) (server.User, error) {
	if token == "" || a.kube == nil {
		return server.User{}, server.ErrUnauthenticated
	}
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{
		Token: token, Audiences: []string{kube.TokenAudience, apiAudience},
	}}
	if err := a.kube.Create(ctx, review); err != nil {
		return server.User{}, fmt.Errorf("the token could not be checked: %w", err)
	}
	if !review.Status.Authenticated {
		return server.User{}, fmt.Errorf("%w: the token is not known, or has expired", server.ErrUnauthenticated)
	}
	ours := slices.ContainsFunc(review.Status.Audiences, func(s string) bool { return s == kube.TokenAudience || s == apiAudience })
	if !ours {
		return server.User{}, fmt.Errorf("%w: the token is made for somebody else", server.ErrUnauthenticated)
	}
	who := review.Status.User
	return server.User{Name: who.Username, Groups: who.Groups, Pod: podOf(who)}, nil
}

// podOf reads what Kubernetes says about the token of a service account.
func podOf(u authenticationv1.UserInfo) server.Pod {
	claim := func(name string) string {
		if v := u.Extra["authentication.kubernetes.io/"+name]; len(v) == 1 {
			return v[0]
		}
		return ""
	}
	p := server.Pod{Name: claim("pod-name"), UID: claim("pod-uid"), Node: claim("node-name")}
	rest, ours := strings.CutPrefix(u.Username, "system:serviceaccount:")
	if !ours || p.Name == "" || p.UID == "" {
		return server.Pod{}
	}
	p.Namespace, _, _ = strings.Cut(rest, ":")
	return p
}

// fromPeer trusts a process of the same user on the same machine.
func (a *authenticator) fromPeer(r *http.Request) (server.User, error) {
	if a.local == nil || a.local.OwnPeer == nil {
		return server.User{}, server.ErrUnauthenticated
	}
	if err := front.CheckPeer(r.Context(), a.local.OwnPeer); err != nil {
		return server.User{}, err
	}
	return localUser, nil
}

// authorizer asks Kubernetes; the person at this machine may do everything.
type authorizer struct {
	kube  client.Client
	cache *answers[question, error]
}

type question struct {
	user, groups string
	permission   server.Permission
	namespace    string
}

func newAuthorizer(c client.Client, clk clock.PassiveClock) *authorizer {
	return &authorizer{kube: c, cache: newAnswers[question, error](clk, decisionTTL, maxCached)}
}

// errDenied is a decision, not a failure.
var errDenied = errors.New("no role grants it")

// Authorize implements server.Authorizer.
func (a *authorizer) Authorize(ctx context.Context, u server.User, p server.Permission, namespace string) error {
	if u.Local {
		return nil
	}
	q := question{u.Name, strings.Join(u.Groups, "\n"), p, namespace}
	if err, ok := a.cache.get(q); ok {
		return err
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: u.Name, Groups: u.Groups,
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: p.Verb, Group: p.Group, Resource: p.Resource},
	}}
	if err := a.kube.Create(ctx, review); err != nil {
		return fmt.Errorf("the permission could not be checked: %w", err)
	}
	if !review.Status.Allowed {
		// Not for long: who was refused is told to grant a role, and tries again.
		a.cache.putFor(q, errDenied, refusalTTL)
		return errDenied
	}
	a.cache.put(q, nil)
	return nil
}
