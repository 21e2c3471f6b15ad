package monitor

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/kiwerk/kiwerk/internal/store"
)

//go:embed migrations
var migrationFiles embed.FS

// Migrations is the schema of this package.
func Migrations() store.Migrations {
	return store.Migrations{Owner: "monitor", FS: migrationFiles}
}

// Store keeps verdicts, alerts and deliveries.
type Store struct {
	db  *store.Store
	now func() time.Time
}

// NewStore returns a store over db, whose schema it brings up to date.
func NewStore(ctx context.Context, db *store.Store, now func() time.Time) (*Store, error) {
	if err := db.Migrate(ctx, Migrations()); err != nil {
		return nil, err
	}
	return &Store{db: db, now: now}, nil
}

// Baseline is where judging one model version against one reference began.
type Baseline struct {
	ID int64
	// Monitor is the uid of the object.
	Monitor                   string
	Namespace, Name, Endpoint string
	Model, Version            string
	// Reference is the digest of what is compared with.
	Reference string
	Size      int
	// Origin is the first row of window 0.
	Origin int64
}

// FindBaseline fills ID and Origin of a baseline that exists.
func (s *Store) FindBaseline(ctx context.Context, b Baseline) (Baseline, bool, error) {
	err := s.db.View(ctx, func(t *store.Tx) error {
		return t.Row("SELECT id, origin FROM monitor_baselines WHERE monitor = ? AND model = ? AND version = ? AND reference = ? AND size = ?",
			b.Monitor, b.Model, b.Version, b.Reference, b.Size).Scan(&b.ID, &b.Origin)
	})
	if store.IsNoRows(err) {
		return b, false, nil
	}
	return b, err == nil, err
}

// AddBaseline begins judging at b.Origin, unless it has begun already.
func (s *Store) AddBaseline(ctx context.Context, b Baseline) (Baseline, error) {
	err := s.db.Update(ctx, func(t *store.Tx) error {
		if _, err := t.Exec(`INSERT INTO monitor_baselines(monitor, namespace, name, endpoint, model, version, reference, size, origin, created)
			VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(monitor, model, version, reference, size) DO NOTHING`,
			b.Monitor, b.Namespace, b.Name, b.Endpoint, b.Model, b.Version, b.Reference, b.Size, b.Origin, s.now().UnixNano()); err != nil {
			return err
		}
		return t.Row("SELECT id, origin FROM monitor_baselines WHERE monitor = ? AND model = ? AND version = ? AND reference = ? AND size = ?",
			b.Monitor, b.Model, b.Version, b.Reference, b.Size).Scan(&b.ID, &b.Origin)
	})
	return b, err
}

// Forget deletes everything about a monitor.
func (s *Store) Forget(ctx context.Context, monitor string) error {
	return s.db.Update(ctx, func(t *store.Tx) error {
		_, err := t.Exec("DELETE FROM monitor_baselines WHERE monitor = ?", monitor)
		return err
	})
}

// Judged is a window with its verdict.
type Judged struct {
	Index             int64     `json:"index"`
	ModelVersion      string    `json:"modelVersion"`
	Start             time.Time `json:"start"`
	End               time.Time `json:"end"`
	FirstID           string    `json:"firstPrediction"`
	Labelled          int       `json:"labelled"`
	Correct           int       `json:"correct"`
	JudgedAt          time.Time `json:"judgedAt"`
	Monitor           string    `json:"monitor"`
	ReferenceIdentity string    `json:"reference"`
	Verdict
}

// AddWindow stores a verdict. One that exists stays as it is.
func (s *Store) AddWindow(ctx context.Context, baseline int64, j Judged) error {
	detail, err := json.Marshal(j.Verdict)
	if err != nil {
		return err
	}
	return s.db.Update(ctx, func(t *store.Tx) error {
		_, err := t.Exec(`INSERT INTO monitor_windows(baseline, idx, started, ended, first_id, verdict, detail, labelled, correct, judged)
			VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(baseline, idx) DO NOTHING`,
			baseline, j.Index, j.Start.UnixNano(), j.End.UnixNano(), j.FirstID, j.Verdict.Verdict, string(detail), j.Labelled, j.Correct, s.now().UnixNano())
		return err
	})
}

// Tally counts the windows of a baseline.
type Tally struct {
	// Next is the index of the first window that was not judged.
	Next int64
	// Evaluated windows have a verdict, Drifted are some of them; Insufficient ones have none.
	Evaluated, Drifted, Insufficient int64
}

// Tally counts.
func (s *Store) Tally(ctx context.Context, baseline int64) (n Tally, err error) {
	err = s.db.View(ctx, func(t *store.Tx) error {
		return t.Row(`SELECT coalesce(max(idx) + 1, 0), count(*) FILTER (WHERE verdict <> 'InsufficientData'), count(*) FILTER (WHERE verdict = 'Drift'),
			count(*) FILTER (WHERE verdict = 'InsufficientData') FROM monitor_windows WHERE baseline = ?`, baseline).Scan(&n.Next, &n.Evaluated, &n.Drifted, &n.Insufficient)
	})
	return n, err
}

const selectWindows = `SELECT w.idx, b.version, w.started, w.ended, w.first_id, w.detail, w.labelled, w.correct, w.judged, b.name, b.reference
	FROM monitor_windows w JOIN monitor_baselines b ON b.id = w.baseline `

// LastWindows of a baseline, newest first.
func (s *Store) LastWindows(ctx context.Context, baseline int64, n int) ([]Judged, error) {
	return s.windows(ctx, selectWindows+"WHERE w.baseline = ? ORDER BY w.idx DESC LIMIT ?", baseline, n)
}

// WindowAt is a window of a baseline, nil if it has no verdict.
func (s *Store) WindowAt(ctx context.Context, baseline, index int64) (*Judged, error) {
	list, err := s.windows(ctx, selectWindows+"WHERE w.baseline = ? AND w.idx = ?", baseline, index)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// WindowsOf an endpoint, newest first, of all versions and monitors.
func (s *Store) WindowsOf(ctx context.Context, namespace, endpoint string, n int) ([]Judged, error) {
	return s.windows(ctx, selectWindows+"WHERE b.namespace = ? AND b.endpoint = ? ORDER BY w.judged DESC, w.idx DESC LIMIT ?", namespace, endpoint, n)
}

func (s *Store) windows(ctx context.Context, query string, args ...any) ([]Judged, error) {
	list := []Judged{}
	err := s.db.View(ctx, func(t *store.Tx) error {
		return t.Each(func(rows store.Rows) error {
			var j Judged
			var detail string
			var started, ended, judged int64
			if err := rows.Scan(&j.Index, &j.ModelVersion, &started, &ended, &j.FirstID, &detail, &j.Labelled, &j.Correct, &judged, &j.Monitor, &j.ReferenceIdentity); err != nil {
				return err
			}
			j.Start, j.End, j.JudgedAt = at(started), at(ended), at(judged)
			list = append(list, j)
			return json.Unmarshal([]byte(detail), &list[len(list)-1].Verdict)
		}, query, args...)
	})
	return list, err
}

func at(nanoseconds int64) time.Time { return time.Unix(0, nanoseconds).UTC() }

// Kinds of alerts.
const (
	AlertDrift       = "drift"
	AlertPerformance = "performance"
)

// Alert is a change for the worse that somebody should hear of.
type Alert struct {
	ID           string          `json:"id"`
	Kind         string          `json:"kind"`
	Monitor      string          `json:"monitor"`
	Endpoint     string          `json:"endpoint"`
	Model        string          `json:"model"`
	ModelVersion string          `json:"modelVersion"`
	State        string          `json:"state"` // firing or resolved
	Opened       time.Time       `json:"opened"`
	Resolved     *time.Time      `json:"resolved,omitempty"`
	Outcome      string          `json:"outcome,omitempty"` // why it was resolved
	Window       int64           `json:"window"`            // where it began
	WindowStart  time.Time       `json:"windowStart"`
	Message      string          `json:"message"`
	Numbers      json.RawMessage `json:"numbers"`
}

// States of alerts.
const (
	StateFiring   = "firing"
	StateResolved = "resolved"
)

// OpenAlert raises an alert of a baseline unless one of its kind is firing,
// which is returned then. With notify the webhook is to be told.
func (s *Store) OpenAlert(ctx context.Context, b Baseline, a Alert, notify bool) (id string, err error) {
	err = s.db.Update(ctx, func(t *store.Tx) error {
		err := t.Row("SELECT id FROM monitor_alerts WHERE baseline = ? AND kind = ? AND resolved IS NULL", b.ID, a.Kind).Scan(&id)
		if !store.IsNoRows(err) {
			return err
		}
		var earlier int
		if err := t.Row("SELECT count(*) FROM monitor_alerts WHERE baseline = ? AND kind = ?", b.ID, a.Kind).Scan(&earlier); err != nil {
			return err
		}
		sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d/%s/%d", b.Monitor, b.ID, a.Kind, earlier))
		id = a.Kind + "-" + hex.EncodeToString(sum[:6])
		now := s.now().UnixNano()
		if _, err := t.Exec(`INSERT INTO monitor_alerts(id, baseline, kind, opened, "window", started, message, numbers) VALUES(?, ?, ?, ?, ?, ?, ?, ?)`,
			id, b.ID, a.Kind, now, a.Window, a.WindowStart.UnixNano(), a.Message, string(a.Numbers)); err != nil {
			return err
		}
		return addDelivery(t, id, StateFiring, now, notify)
	})
	return id, err
}

func addDelivery(t *store.Tx, alert, state string, now int64, notify bool) error {
	if !notify {
		return nil
	}
	_, err := t.Exec("INSERT INTO monitor_deliveries(alert, state, due) VALUES(?, ?, ?)", alert, state, now)
	return err
}

// ResolveAlert ends an alert, if it is firing.
func (s *Store) ResolveAlert(ctx context.Context, id, outcome string, notify bool) error {
	return s.db.Update(ctx, func(t *store.Tx) error {
		now := s.now().UnixNano()
		n, err := t.Exec("UPDATE monitor_alerts SET resolved = ?, outcome = ? WHERE id = ? AND resolved IS NULL", now, outcome, id)
		if err != nil || n == 0 {
			return err
		}
		return addDelivery(t, id, StateResolved, now, notify)
	})
}

const selectAlerts = `SELECT a.id, a.kind, b.name, b.endpoint, b.model, b.version, a.opened, a.resolved, a.outcome, a."window", a.started, a.message, a.numbers
	FROM monitor_alerts a JOIN monitor_baselines b ON b.id = a.baseline `

// FiringAlerts of a monitor, of all its baselines.
func (s *Store) FiringAlerts(ctx context.Context, monitor string) ([]Alert, error) {
	return s.alerts(ctx, selectAlerts+"WHERE b.monitor = ? AND a.resolved IS NULL ORDER BY a.opened", monitor)
}

// Alerts of a project, newest first.
func (s *Store) Alerts(ctx context.Context, namespace string, n int) ([]Alert, error) {
	return s.alerts(ctx, selectAlerts+"WHERE b.namespace = ? ORDER BY a.opened DESC, a.id LIMIT ?", namespace, n)
}

// LastAlert of a monitor and how many there were.
func (s *Store) LastAlert(ctx context.Context, monitor string) (id string, total int64, err error) {
	err = s.db.View(ctx, func(t *store.Tx) error {
		if err := t.Row("SELECT count(*) FROM monitor_alerts a JOIN monitor_baselines b ON b.id = a.baseline WHERE b.monitor = ?", monitor).Scan(&total); err != nil || total == 0 {
			return err
		}
		return t.Row(`SELECT a.id FROM monitor_alerts a JOIN monitor_baselines b ON b.id = a.baseline
			WHERE b.monitor = ? ORDER BY a.opened DESC, a.id LIMIT 1`, monitor).Scan(&id)
	})
	return id, total, err
}

func (s *Store) alerts(ctx context.Context, query string, args ...any) ([]Alert, error) {
	list := []Alert{}
	err := s.db.View(ctx, func(t *store.Tx) error {
		return t.Each(func(rows store.Rows) error {
			a, err := scanAlert(rows.Scan)
			list = append(list, a)
			return err
		}, query, args...)
	})
	return list, err
}

func scanAlert(scan func(...any) error, more ...any) (Alert, error) {
	a := Alert{State: StateFiring}
	var opened, started int64
	var resolved *int64
	var numbers string
	fields := []any{&a.ID, &a.Kind, &a.Monitor, &a.Endpoint, &a.Model, &a.ModelVersion, &opened, &resolved, &a.Outcome, &a.Window, &started, &a.Message, &numbers}
	if err := scan(append(fields, more...)...); err != nil {
		return a, err
	}
	a.Opened, a.WindowStart, a.Numbers = at(opened), at(started), json.RawMessage(numbers)
	if resolved != nil {
		r := at(*resolved)
		a.Resolved, a.State = &r, StateResolved
	}
	return a, nil
}

// Delivery is something that the webhook is to be told.
type Delivery struct {
	Alert    Alert
	State    string
	Attempts int
	Due      time.Time
	Fault    string
}

// PendingDeliveries of a monitor, oldest first.
func (s *Store) PendingDeliveries(ctx context.Context, monitor string) ([]Delivery, error) {
	var list []Delivery
	err := s.db.View(ctx, func(t *store.Tx) error {
		return t.Each(func(rows store.Rows) error {
			var d Delivery
			var due int64
			a, err := scanAlert(rows.Scan, &d.State, &d.Attempts, &due, &d.Fault)
			d.Alert, d.Due = a, at(due)
			list = append(list, d)
			return err
		}, `SELECT a.id, a.kind, b.name, b.endpoint, b.model, b.version, a.opened, a.resolved, a.outcome, a."window", a.started, a.message, a.numbers,
				d.state, d.attempts, d.due, d.fault
			FROM monitor_deliveries d JOIN monitor_alerts a ON a.id = d.alert JOIN monitor_baselines b ON b.id = a.baseline
			WHERE b.monitor = ? AND d.done IS NULL ORDER BY a.opened, a.id, d.state`, monitor)
	})
	return list, err
}

// Delivered notes that the webhook has taken a delivery, or, with a fault, when to try again.
func (s *Store) Delivered(ctx context.Context, d Delivery, fault string, again time.Time) error {
	return s.db.Update(ctx, func(t *store.Tx) error {
		if fault == "" {
			_, err := t.Exec("UPDATE monitor_deliveries SET attempts = attempts + 1, done = ?, fault = '' WHERE alert = ? AND state = ?",
				s.now().UnixNano(), d.Alert.ID, d.State)
			return err
		}
		_, err := t.Exec("UPDATE monitor_deliveries SET attempts = attempts + 1, due = ?, fault = ? WHERE alert = ? AND state = ?",
			again.UnixNano(), fault, d.Alert.ID, d.State)
		return err
	})
}
