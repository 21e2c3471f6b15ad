package retrain

import (
	"context"
	"embed"
	"encoding/json"
	"time"

	"github.com/kiwerk/kiwerk/internal/store"
)

//go:embed migrations
var migrationFiles embed.FS

// Migrations is the schema of this package.
func Migrations() store.Migrations {
	return store.Migrations{Owner: "retrain", FS: migrationFiles}
}

// Decision is one step of a retraining and why it was taken.
type Decision struct {
	Retraining string          `json:"retraining"`
	Step       string          `json:"step"`
	Namespace  string          `json:"namespace"`
	Policy     string          `json:"policy"`
	Endpoint   string          `json:"endpoint"`
	Time       time.Time       `json:"time"`
	Phase      string          `json:"phase"`
	Reason     string          `json:"reason"`
	Message    string          `json:"message"`
	Numbers    json.RawMessage `json:"numbers"`
}

// Store keeps decisions.
type Store struct{ db *store.Store }

// NewStore returns a store over db, whose schema it brings up to date.
func NewStore(ctx context.Context, db *store.Store) (*Store, error) {
	if err := db.Migrate(ctx, Migrations()); err != nil {
		return nil, err
	}
	return &Store{db: db}, nil
}

// Add stores a decision unless the same step is stored already.
func (s *Store) Add(ctx context.Context, d Decision) error {
	return s.db.Update(ctx, func(t *store.Tx) error {
		_, err := t.Exec(`INSERT INTO retrain_decisions(retraining, step, namespace, policy, endpoint, time, phase, reason, message, numbers)
			VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(retraining, step) DO NOTHING`,
			d.Retraining, d.Step, d.Namespace, d.Policy, d.Endpoint, d.Time.UnixNano(), d.Phase, d.Reason, d.Message, string(d.Numbers))
		return err
	})
}

// maxDecisions of one answer.
const maxDecisions = 1000

// List gives the newest decisions of a project, newest first. Policy and
// retraining narrow it down unless they are empty.
func (s *Store) List(ctx context.Context, namespace, policy, retraining string) ([]Decision, error) {
	list := []Decision{}
	err := s.db.View(ctx, func(t *store.Tx) error {
		return t.Each(func(rows store.Rows) error {
			var d Decision
			var at int64
			var numbers string
			if err := rows.Scan(&d.Retraining, &d.Step, &d.Namespace, &d.Policy, &d.Endpoint, &at, &d.Phase, &d.Reason, &d.Message, &numbers); err != nil {
				return err
			}
			d.Time, d.Numbers = time.Unix(0, at).UTC(), json.RawMessage(numbers)
			list = append(list, d)
			return nil
		}, `SELECT retraining, step, namespace, policy, endpoint, time, phase, reason, message, numbers FROM retrain_decisions
			WHERE namespace = ? AND (? = '' OR policy = ?) AND (? = '' OR retraining = ?) ORDER BY time DESC, step DESC LIMIT ?`,
			namespace, policy, policy, retraining, retraining, maxDecisions)
	})
	return list, err
}
