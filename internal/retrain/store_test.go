package retrain_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/kwtest/postgres"
	"github.com/kiwerk/kiwerk/internal/retrain"
	"github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(postgres.Run(m.Run)) }

func TestStore(t *testing.T) {
	storetest.Both(t, func(t *testing.T, open func(testing.TB, ...store.Migrations) *store.Store) {
		s, err := retrain.NewStore(t.Context(), open(t))
		if err != nil {
			t.Fatal(err)
		}
		decision := func(namespace, policy string, n int) retrain.Decision {
			return retrain.Decision{
				Retraining: fmt.Sprintf("%s-%d", policy, n/2), Step: fmt.Sprintf("step-%d", n%2), Namespace: namespace, Policy: policy, Endpoint: "reader",
				Time: time.Unix(int64(n), 5).UTC(), Phase: "Training", Reason: "Drift", Message: "Größe", Numbers: json.RawMessage(`{"n":1}`),
			}
		}
		for n := range 4 {
			for _, d := range []retrain.Decision{decision("team", "a", n), decision("team", "b", n), decision("other", "c", n)} {
				if err := s.Add(t.Context(), d); err != nil {
					t.Fatal(err)
				}
				d.Message = "the same step again"
				if err := s.Add(t.Context(), d); err != nil {
					t.Fatal(err)
				}
			}
		}
		for name, c := range map[string]struct {
			policy, retraining string
			want               []retrain.Decision
		}{
			"Policy":     {"a", "", []retrain.Decision{decision("team", "a", 3), decision("team", "a", 2), decision("team", "a", 1), decision("team", "a", 0)}},
			"Retraining": {"", "b-1", []retrain.Decision{decision("team", "b", 3), decision("team", "b", 2)}},
			"Neither":    {"a", "b-1", []retrain.Decision{}},
			"OtherTeam":  {"c", "", []retrain.Decision{}},
		} {
			got, err := s.List(t.Context(), "team", c.policy, c.retraining)
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("%s: %v %s", name, err, diff)
			}
		}
	})
}
