package monitorhttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	v1alpha1 "github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/monitor"
	monitorhttp "github.com/kiwerk/kiwerk/internal/monitor/http"
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
	now := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	st, err := monitor.NewStore(t.Context(), storetest.Open(t), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	b, err := st.AddBaseline(t.Context(), monitor.Baseline{Monitor: "uid", Namespace: "team-a", Name: "m", Endpoint: "parts", Model: "reader", Version: "1", Reference: "r", Size: 50})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := st.AddWindow(t.Context(), b.ID, monitor.Judged{Index: int64(i), Start: now, End: now, Verdict: monitor.Verdict{Verdict: v1alpha1.VerdictNoDrift}}); err != nil {
			t.Fatal(err)
		}
	}
	id, err := st.OpenAlert(t.Context(), b, monitor.Alert{Kind: monitor.AlertDrift, WindowStart: now, Message: "drift", Numbers: json.RawMessage(`{"features":3}`)}, false)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(server.Options{Authenticator: onlyA{}, Authorizer: onlyA{}, Logger: slog.New(slog.DiscardHandler), Endpoints: monitorhttp.Endpoints(st)})
	if err != nil {
		t.Fatal(err)
	}
	get := func(target string, status int, v any) {
		t.Helper()
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1/kiwerk/v1/projects/"+target, nil))
		if w.Code != status {
			t.Errorf("%s: %d %s, want %d", target, w.Code, w.Body, status)
		}
		if v != nil {
			if err := json.Unmarshal(w.Body.Bytes(), v); err != nil {
				t.Errorf("%s: %v", target, err)
			}
		}
	}
	var alerts monitorhttp.AlertList
	get("team-a/alerts", 200, &alerts)
	if len(alerts.Alerts) != 1 || alerts.Alerts[0].ID != id || alerts.Alerts[0].State != monitor.StateFiring || string(alerts.Alerts[0].Numbers) != `{"features":3}` {
		t.Errorf("alerts %+v", alerts)
	}
	var windows monitorhttp.WindowList
	get("team-a/endpoints/parts/windows?limit=2", 200, &windows)
	if len(windows.Windows) != 2 || windows.Windows[0].Index != 2 || windows.Windows[0].Verdict.Verdict != v1alpha1.VerdictNoDrift {
		t.Errorf("windows %+v", windows)
	}
	get("team-a/endpoints/parts/windows?limit=0", 400, nil)
	get("team-b/alerts", 403, nil)
	get("team-b/endpoints/parts/windows", 403, nil)
}
