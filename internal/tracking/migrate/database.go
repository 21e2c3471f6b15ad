package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// Revisions of MLflow's schema, in their order. Between the two the tables and
// columns that are read here exist, or their absence is known below.
const (
	tooOld = "451aebb31d03 90e64c465722 181f10493468 df50e92ffc5e 7ac759974ad8 89d4b8295536 2b4d017a5e9b cfd24bdc0731 0a8213491aaa " +
		"728d730b5ebd 27a6a02d2cf1 84291f40a231 a8c4a736bde6 39d1c3be5f05 c48cb773bb87 bd07f7e963c5" // before 2.0
	known = "0c779009ac13 cc1f77228345 97727af70f4d 3500859a5d39 7f2a7d5fae7d 2d6e25af4d3e acf3f17fdcc7 867495a8f9d4 5b0e9adcef9c " +
		"4465047574b1 f5a4f2784254 0584bdc529eb 400f98739977 6953534de441 bda7b8c39065 cbc13b556ace 770bee3ae1dd a1b2c3d4e5f6 " +
		"de4033877273 1a0cddfcaa16 534353b11cbc 71994744cf8e 3da73c924c2f bf29a5ff90ea 1bd49d398cd23 b7c8d9e0f1a2 5d2d30f0abce " +
		"c9d4e5f6a7b8 2c33131f4dae d3e4f5a6b7c8 d0e1f2a3b4c5 c8d9e0f1a2b3 1b5f0d9ad7c1 e1f2a3b4c5d6 76601a5f987d c3d6457b6d8a " +
		"a5b4c3d2e1f0 ae8bbe7743c9 7d34483879f0 da6fb0208061 89d3d66ed43f b7e4c1a90f23 a8b9c0d1e2f3 c1d2e3f4a5b6 c3d9e7f1a2b4 " +
		"6f8d9c3b2a1e 1971f2d9a75b 17e22815139b b7e2c1a4d9f3 75868b020152 dc11669786a5" // 2.0 to 3.17.2
)

// ErrKiwerk is a database of ours, which [KiwerkDatabase] reads.
var ErrKiwerk = errors.New("is a database of Kiwerk")

// Database is MLflow's own database. It is only read.
type Database struct {
	db       *sql.DB
	postgres bool
	columns  map[string][]string // by table
	// Revision of the schema, as alembic numbers it.
	Revision string
}

// OpenDatabase opens sqlite:///FILE, a file's path, or postgresql://…. One that is ours is [ErrKiwerk].
func OpenDatabase(ctx context.Context, uri string) (d *Database, err error) {
	d = &Database{columns: map[string][]string{}}
	scheme, _, found := strings.Cut(uri, "://")
	if driver, _, _ := strings.Cut(scheme, "+"); found && (driver == "postgresql" || driver == "postgres") {
		_, rest, _ := strings.Cut(uri, "://")
		d.postgres = true
		d.db, err = sql.Open("pgx", "postgresql://"+rest)
	} else {
		file := uri
		if found {
			_, file, _ = strings.Cut(uri, ":///")
		}
		if _, err := os.Stat(file); err != nil {
			return nil, err
		}
		if file, err = filepath.Abs(file); err != nil {
			return nil, err
		}
		d.db, err = sql.Open("sqlite", (&url.URL{Scheme: "file", Path: file, RawQuery: "mode=ro&_pragma=busy_timeout(20000)"}).String())
	}
	if err != nil {
		return nil, err
	}
	if err := d.check(ctx); err != nil {
		return nil, errors.Join(err, d.db.Close())
	}
	return d, nil
}

// Close ends the reading.
func (d *Database) Close() error { return d.db.Close() }

func (d *Database) check(ctx context.Context) error {
	if err := d.db.PingContext(ctx); err != nil {
		return err
	}
	if err := d.db.QueryRowContext(ctx, "SELECT version_num FROM alembic_version").Scan(&d.Revision); err != nil {
		if d.ours(ctx) {
			return ErrKiwerk
		}
		return fmt.Errorf("%w: the database has no table alembic_version with a revision, so it is none of MLflow 2.0 or later: %w", ErrUnsupported, err)
	}
	if slices.Contains(strings.Fields(tooOld), d.Revision) {
		return fmt.Errorf("%w: the schema %s is older than MLflow 2.0; bring a copy of the database up to date with `mlflow db upgrade` first", ErrUnsupported, d.Revision)
	}
	if !slices.Contains(strings.Fields(known), d.Revision) {
		return fmt.Errorf("%w: the schema %s is newer than MLflow 3.17.2 or unknown; use a newer Kiwerk", ErrUnsupported, d.Revision)
	}
	for _, table := range []string{
		"experiments", "experiment_tags", "runs", "params", "tags", "metrics", "datasets", "inputs", "input_tags", "logged_models", "logged_model_params",
		"logged_model_tags", "logged_model_metrics", "registered_models", "registered_model_tags", "registered_model_aliases", "model_versions", "model_version_tags",
		"trace_info", "trace_tags", "trace_request_metadata", "spans", "assessments", "entity_associations",
		"evaluation_datasets", "evaluation_dataset_records", "scorers", "online_scoring_configs", "issues",
	} {
		if err := d.note(ctx, table); err != nil {
			return err
		}
	}
	return nil
}

func (d *Database) ours(ctx context.Context) bool {
	var n int64
	return d.db.QueryRowContext(ctx, "SELECT count(*) FROM kiwerk_migrations").Scan(&n) == nil
}

// note learns the columns of a table; one that is missing came with a later revision.
func (d *Database) note(ctx context.Context, table string) (err error) {
	rows, err := d.db.QueryContext(ctx, "SELECT * FROM "+table+" LIMIT 0")
	if err != nil {
		return ctx.Err()
	}
	defer rows.Close()
	if d.columns[table], err = rows.Columns(); err != nil {
		return err
	}
	return rows.Err()
}

func (d *Database) has(table string) bool { return d.columns[table] != nil }

// column of a table, or what stands for one that this schema has not.
func (d *Database) column(table, name, absent string) string {
	if slices.Contains(d.columns[table], name) {
		return "coalesce(" + name + ", " + absent + ")"
	}
	return absent
}

// query calls fn for each row of an answer; ? becomes PostgreSQL's $1 ….
func (d *Database) query(ctx context.Context, text string, fn func(scan func(...any) error) error, args ...any) (err error) {
	if d.postgres {
		for i := range args {
			text = strings.Replace(text, "?", fmt.Sprintf("$%d", i+1), 1)
		}
	}
	rows, err := d.db.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := fn(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (d *Database) pairs(ctx context.Context, text string, args ...any) (list []model.Pair, err error) {
	err = d.query(ctx, text, func(scan func(...any) error) error {
		var p model.Pair
		err := scan(&p.Key, &p.Value)
		list = append(list, p)
		return err
	}, args...)
	return list, err
}

// Experiments implements [Source].
func (d *Database) Experiments(ctx context.Context, fn func(model.Experiment) error) error {
	var list []model.Experiment
	t := "experiments"
	if err := d.query(ctx, "SELECT experiment_id, name, "+d.column(t, "artifact_location", "''")+", "+d.column(t, "lifecycle_stage", "'active'")+", "+
		d.column(t, "creation_time", "0")+", "+d.column(t, "last_update_time", "0")+", "+d.column(t, "workspace", "'default'")+" FROM experiments ORDER BY experiment_id",
		func(scan func(...any) error) error {
			var e model.Experiment
			var stage string
			err := scan(&e.ID, &e.Name, &e.ArtifactLocation, &stage, &e.Created, &e.Updated, &e.Namespace)
			e.Deleted = stage == "deleted"
			list = append(list, e)
			return err
		}); err != nil {
		return err
	}
	for _, e := range list {
		var err error
		if e.Tags, err = d.pairs(ctx, "SELECT key, coalesce(value, '') FROM experiment_tags WHERE experiment_id = ? ORDER BY key", e.ID); err != nil {
			return err
		}
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

// page is how many runs are read at once.
const page = 500

// Runs implements [Source].
func (d *Database) Runs(ctx context.Context, fn func(Run) error) error {
	for from := ""; ; {
		list, err := d.runs(ctx, from)
		if err != nil {
			return err
		}
		for _, r := range list {
			if err := d.fill(ctx, &r); err != nil {
				return err
			}
			if err := fn(r); err != nil {
				return err
			}
			from = r.ID
		}
		if len(list) < page {
			return nil
		}
	}
}

func (d *Database) runs(ctx context.Context, from string) (list []Run, err error) {
	err = d.query(ctx, `SELECT run_uuid, experiment_id, coalesce(name, ''), coalesce(user_id, ''), coalesce(status, 'RUNNING'), coalesce(start_time, 0),
		coalesce(end_time, 0), coalesce(lifecycle_stage, 'active'), coalesce(artifact_uri, ''), `+d.column("runs", "deleted_time", "0")+
		" FROM runs WHERE run_uuid > ? ORDER BY run_uuid LIMIT ?", func(scan func(...any) error) error {
		var r Run
		var status, stage string
		if err := scan(&r.ID, &r.ExperimentID, &r.Name, &r.User, &status, &r.Start, &r.End, &stage, &r.ArtifactURI, &r.DeletedAt); err != nil {
			return err
		}
		if !r.Status.SetName(status) {
			return fmt.Errorf("run %s: unknown status %q", r.ID, status)
		}
		r.Deleted = stage == "deleted"
		list = append(list, r)
		return nil
	}, from, page)
	return list, err
}

func (d *Database) fill(ctx context.Context, r *Run) (err error) {
	if r.Params, err = d.pairs(ctx, "SELECT key, value FROM params WHERE run_uuid = ? ORDER BY key", r.ID); err != nil {
		return err
	}
	if r.Tags, err = d.pairs(ctx, "SELECT key, coalesce(value, '') FROM tags WHERE run_uuid = ? ORDER BY key", r.ID); err != nil {
		return err
	}
	for _, t := range r.Tags {
		if t.Key == model.TagRunName && r.Name == "" { // runs of 1.x have their name there only
			r.Name = t.Value
		}
	}
	if !d.has("inputs") {
		return nil
	}
	var uses []string
	if err := d.query(ctx, `SELECT i.input_uuid, s.name, s.digest, s.dataset_source_type, s.dataset_source, coalesce(s.dataset_schema, ''), coalesce(s.dataset_profile, '')
		FROM inputs i JOIN datasets s ON s.dataset_uuid = i.source_id
		WHERE i.source_type = 'DATASET' AND i.destination_type = 'RUN' AND i.destination_id = ? ORDER BY s.name, s.digest`, func(scan func(...any) error) error {
		var use string
		var in model.DatasetInput
		s := &in.Dataset
		err := scan(&use, &s.Name, &s.Digest, &s.SourceType, &s.Source, &s.Schema, &s.Profile)
		uses, r.Datasets = append(uses, use), append(r.Datasets, in)
		return err
	}, r.ID); err != nil {
		return err
	}
	for i := range uses {
		if r.Datasets[i].Tags, err = d.pairs(ctx, "SELECT name, value FROM input_tags WHERE input_uuid = ? ORDER BY name", uses[i]); err != nil {
			return err
		}
	}
	return d.query(ctx, "SELECT source_type, destination_id, "+d.column("inputs", "step", "0")+
		" FROM inputs WHERE source_id = ? AND source_type IN ('RUN_INPUT', 'RUN_OUTPUT') ORDER BY source_type, destination_id", func(scan func(...any) error) error {
		var kind string
		var m model.ModelOutput
		err := scan(&kind, &m.ModelID, &m.Step)
		if kind == "RUN_INPUT" {
			r.Inputs = append(r.Inputs, m.ModelID)
		} else {
			r.Outputs = append(r.Outputs, m)
		}
		return err
	}, r.ID)
}

// Points implements [Source].
func (d *Database) Points(ctx context.Context, run string, fn func(model.Metric) error) error {
	return d.query(ctx, "SELECT key, value, timestamp, step, CASE WHEN is_nan THEN 1 ELSE 0 END FROM metrics WHERE run_uuid = ? ORDER BY key", func(scan func(...any) error) error {
		var m model.Metric
		var nan int64
		if err := scan(&m.Key, &m.Value, &m.Timestamp, &m.Step, &nan); err != nil {
			return err
		}
		if nan == 1 {
			m.Value = math.NaN()
		}
		return fn(m)
	}, run)
}
