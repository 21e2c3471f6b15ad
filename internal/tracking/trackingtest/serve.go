package trackingtest

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking"
)

// anybody may do everything.
type anybody struct{}

func (anybody) Authenticate(*http.Request) (server.User, error) {
	return server.User{Name: "anna"}, nil
}

func (anybody) Authorize(context.Context, server.User, server.Permission, string) error { return nil }

// Serve starts tracking on a loopback port; everybody is "anna" and may do
// everything. Clock, NewID and Logger need not be given. The caller closes the
// server, then the store and the bucket.
func Serve(ctx context.Context, d tracking.Deps) (*httptest.Server, error) {
	if d.Clock == nil {
		d.Clock = time.Now
	}
	if d.NewID == nil {
		d.NewID = tracking.RandomID
	}
	d.Logger = cmp.Or(d.Logger, slog.New(slog.DiscardHandler))
	s, err := tracking.New(ctx, d)
	if err != nil {
		return nil, err
	}
	h, err := server.New(server.Options{Authenticator: anybody{}, Authorizer: anybody{}, Logger: d.Logger, Endpoints: s.Endpoints()})
	if err != nil {
		return nil, err
	}
	return httptest.NewServer(h), nil
}
