package http_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/retrain"
	retrainhttp "github.com/kiwerk/kiwerk/internal/retrain/http"
	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
)

// onlyA may see the project team-a.
type onlyA struct{}

func (onlyA) Authenticate(*http.Request) (server.User, error) { return server.User{Name: "anna"}, nil }

func (onlyA) Authorize(_ context.Context, _ server.User, _ server.Permission, namespace string) error {
	if namespace == "team-a" {
		return nil
	}
	return errors.New("not granted")
}

func TestEndpoints(t *testing.T) {
	st, err := retrain.NewStore(t.Context(), storetest.Open(t))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	for i, d := range []retrain.Decision{
		{Retraining: "p-1", Step: "Collecting", Policy: "p"},
		{Retraining: "p-1", Step: "Promoted", Policy: "p"},
		{Retraining: "q-1", Step: "Collecting", Policy: "q"},
		{Retraining: "p-1", Step: "Promoted", Policy: "p", Reason: "a repetition changes nothing"},
	} {
		d.Namespace, d.Time, d.Numbers = "team-a", at.Add(time.Duration(i)*time.Second), json.RawMessage(`{"rows":3}`)
		if err := st.Add(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	srv, err := server.New(server.Options{Authenticator: onlyA{}, Authorizer: onlyA{}, Logger: slog.New(slog.DiscardHandler), Endpoints: retrainhttp.Endpoints(st)})
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		target string
		status int
		steps  []string
	}{
		"All":          {"team-a/retrainings", 200, []string{"Collecting", "Promoted", "Collecting"}},
		"Policy":       {"team-a/retrainings?policy=p", 200, []string{"Promoted", "Collecting"}},
		"One":          {"team-a/retrainings/q-1", 200, []string{"Collecting"}},
		"Unknown":      {"team-a/retrainings/x", 404, nil},
		"OtherProject": {"team-b/retrainings", 403, nil},
		"OtherOne":     {"team-b/retrainings/p-1", 403, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			srv.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1/kiwerk/v1/projects/"+c.target, nil))
			if w.Code != c.status {
				t.Fatalf("%d %s, want %d", w.Code, w.Body, c.status)
			}
			if c.status != http.StatusOK {
				return
			}
			var got struct{ Decisions []retrain.Decision }
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			var steps []string
			for _, d := range got.Decisions {
				steps = append(steps, d.Step)
				if d.Reason != "" || string(d.Numbers) != `{"rows":3}` {
					t.Errorf("got %+v", d)
				}
			}
			if len(steps) != len(c.steps) || steps[0] != c.steps[0] {
				t.Errorf("got %v, want %v", steps, c.steps)
			}
		})
	}
}
