package monitor_test

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/kwtest/postgres"
	"github.com/kiwerk/kiwerk/internal/monitor"
	"github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(postgres.Run(m.Run)) }

func TestStore(t *testing.T) {
	storetest.Both(t, func(t *testing.T, open func(testing.TB, ...store.Migrations) *store.Store) {
		now := time.Date(2026, 11, 27, 8, 0, 0, 0, time.UTC)
		s, err := monitor.NewStore(t.Context(), open(t), func() time.Time { now = now.Add(time.Second); return now })
		if err != nil {
			t.Fatal(err)
		}
		b := monitor.Baseline{Monitor: "uid", Namespace: "team", Name: "parts", Endpoint: "reader", Model: "m", Version: "1", Reference: "sha256:0", Size: 100, Origin: 7}
		if _, found, err := s.FindBaseline(t.Context(), b); found || err != nil {
			t.Fatal(found, err)
		}
		if b, err = s.AddBaseline(t.Context(), b); err != nil || b.ID == 0 {
			t.Fatalf("%+v, %v", b, err)
		}
		again := b
		again.ID, again.Origin = 0, 99
		if again, err = s.AddBaseline(t.Context(), again); err != nil || again != b {
			t.Errorf("a second beginning: %+v, %v", again, err)
		}
		testWindows(t, s, b)
		testAlerts(t, s, b)
		if err := s.Forget(t.Context(), b.Monitor); err != nil {
			t.Fatal(err)
		}
		if list, err := s.Alerts(t.Context(), "team", 10); err != nil || len(list) != 0 {
			t.Errorf("after Forget: %+v, %v", list, err)
		}
	})
}

func testWindows(t *testing.T, s *monitor.Store, b monitor.Baseline) {
	t.Helper()
	if n, err := s.Tally(t.Context(), b.ID); err != nil || n != (monitor.Tally{}) {
		t.Errorf("%+v, %v", n, err)
	}
	for i, verdict := range []string{"NoDrift", "Drift", "InsufficientData", "Drift"} {
		j := monitor.Judged{Index: int64(i), Start: time.Unix(int64(i), 1).UTC(), End: time.Unix(int64(i), 2).UTC(), FirstID: "p", Labelled: 3, Correct: 2}
		j.Verdict.Verdict = verdict
		for range 2 { // the second one changes nothing
			if err := s.AddWindow(t.Context(), b.ID, j); err != nil {
				t.Fatal(err)
			}
			j.Correct = 0
		}
	}
	if n, err := s.Tally(t.Context(), b.ID); err != nil || n != (monitor.Tally{Next: 4, Evaluated: 3, Drifted: 2, Insufficient: 1}) {
		t.Errorf("%+v, %v", n, err)
	}
	last, err := s.LastWindows(t.Context(), b.ID, 2)
	if err != nil || len(last) != 2 || last[0].Index != 3 || last[1].Index != 2 || last[0].Correct != 2 || last[0].Verdict.Verdict != "Drift" || last[0].End != time.Unix(3, 2).UTC() {
		t.Errorf("%+v, %v", last, err)
	}
	if w, err := s.WindowAt(t.Context(), b.ID, 1); err != nil || w == nil || w.Monitor != "parts" || w.ReferenceIdentity != b.Reference || w.ModelVersion != "1" {
		t.Errorf("%+v, %v", w, err)
	}
	if w, err := s.WindowAt(t.Context(), b.ID, 9); err != nil || w != nil {
		t.Errorf("%+v, %v", w, err)
	}
	if list, err := s.WindowsOf(t.Context(), "team", "reader", 3); err != nil || len(list) != 3 || list[0].Index != 3 {
		t.Errorf("%+v, %v", list, err)
	}
}

func testAlerts(t *testing.T, s *monitor.Store, b monitor.Baseline) {
	t.Helper()
	alert := monitor.Alert{Kind: monitor.AlertDrift, Window: 3, WindowStart: time.Unix(3, 0).UTC(), Message: "Drift in „Größe“", Numbers: json.RawMessage(`{"p":0.001}`)}
	raise := func() string {
		t.Helper()
		id, err := s.OpenAlert(t.Context(), b, alert, true)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	first := raise()
	if second := raise(); second != first {
		t.Errorf("%s was raised beside %s", second, first)
	}
	firing, err := s.FiringAlerts(t.Context(), b.Monitor)
	if err != nil || len(firing) != 1 || firing[0].ID != first || firing[0].Window != 3 || firing[0].Message != alert.Message || string(firing[0].Numbers) != string(alert.Numbers) || firing[0].Resolved != nil {
		t.Fatalf("%+v, %v", firing, err)
	}
	for range 2 { // the second one changes nothing
		if err := s.ResolveAlert(t.Context(), first, "Recovered", true); err != nil {
			t.Fatal(err)
		}
	}
	third := raise()
	if third == first {
		t.Error("a new alert has the id of the old one")
	}
	if id, total, err := s.LastAlert(t.Context(), b.Monitor); err != nil || id != third || total != 2 {
		t.Errorf("%s, %d, %v", id, total, err)
	}
	list, err := s.Alerts(t.Context(), "team", 10)
	if err != nil || len(list) != 2 || list[0].ID != third || list[1].State != monitor.StateResolved || list[1].Outcome != "Recovered" || list[1].Resolved == nil {
		t.Errorf("%+v, %v", list, err)
	}
	pending := func() (states []string) {
		t.Helper()
		list, err := s.PendingDeliveries(t.Context(), b.Monitor)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			states = append(states, d.Alert.ID+" "+d.State+" "+d.Fault)
		}
		return states
	}
	if diff := cmp.Diff([]string{first + " firing ", first + " resolved ", third + " firing "}, pending()); diff != "" {
		t.Error(diff)
	}
	list2, err := s.PendingDeliveries(t.Context(), b.Monitor)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Delivered(t.Context(), list2[0], "", time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Delivered(t.Context(), list2[1], "no answer", time.Unix(9, 0)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{first + " resolved no answer", third + " firing "}, pending()); diff != "" {
		t.Error(diff)
	}
}
