package store

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
)

// Kinds of assessments.
const (
	Feedback    = "feedback"
	Expectation = "expectation"
	Issue       = "issue"
)

// Assessment is what a person, a judge or a program says about a trace.
type Assessment struct {
	ID, TraceID, Name, Kind string
	// Value is JSON; of an issue, an object with its name.
	Value string
	// Error is JSON: why there is no value.
	Error                string
	Created, Updated     int64
	SourceType, SourceID string
	SpanID, Rationale    string
	// Overrides is the assessment that this one replaces, which is not valid any more.
	Overrides string
	Valid     bool
	Metadata  map[string]string
}

// check validates an assessment.
func (a *Assessment) check() error {
	for _, f := range []struct {
		what, value string
		max         int
	}{
		{"assessment_name", a.Name, maxKey},
		{"source_id", a.SourceID, maxKey},
		{"assessment_id", a.ID, maxKey},
		{"span_id", a.SpanID, maxKey},
	} {
		if err := tooLong(f.what, f.value, f.max); err != nil {
			return err
		}
	}
	return nil
}

// counts is what a value counts as in averages, and whether it is a number.
func counts(value string) (number any, numeric int64) {
	switch v := strings.ToLower(strings.TrimSpace(value)); v {
	case "true", `"yes"`:
		return 1.0, 0
	case "false", `"no"`:
		return 0.0, 0
	default:
		f, err := strconv.ParseFloat(v, 64)
		if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
			return nil, 0
		}
		return f, 1
	}
}

const assessmentColumns = `a.trace, a.id, a.name, a.kind, a.value, a.error, a.created, a.updated, a.source_type, a.source_id, a.span_id, a.rationale, a.overrides, a.valid, a.metadata`

func scanAssessment(r db.Rows) (row int64, a Assessment, err error) {
	var fault, spanID, rationale, overrides, metadata *string
	var valid int64
	err = r.Scan(&row, &a.ID, &a.Name, &a.Kind, &a.Value, &fault, &a.Created, &a.Updated, &a.SourceType, &a.SourceID, &spanID, &rationale, &overrides, &valid, &metadata)
	if err != nil {
		return 0, a, err
	}
	a.Error, a.SpanID, a.Rationale, a.Overrides, a.Valid = text(fault), text(spanID), text(rationale), text(overrides), valid != 0
	if metadata != nil {
		err = json.Unmarshal([]byte(*metadata), &a.Metadata)
	}
	return row, a, err
}

// putAssessment writes an assessment, or over the one with its id.
func (t *tx) putAssessment(row int64, a Assessment) error {
	if a.ID == "" {
		a.ID = "a-" + t.s.o.NewID()
	}
	now := t.s.now()
	if a.Created == 0 {
		a.Created = now
	}
	if a.Updated == 0 {
		a.Updated = now
	}
	var metadata any
	if len(a.Metadata) > 0 {
		b, err := json.Marshal(a.Metadata)
		if err != nil {
			return err
		}
		metadata = string(b)
	}
	var wholeSession, valid int64
	if _, ok := a.Metadata[metaSession]; ok {
		wholeSession = 1
	}
	if a.Valid {
		valid = 1
	}
	number, numeric := counts(a.Value)
	_, err := t.Exec(`INSERT INTO trace_assessments(trace, id, name, kind, value, number, is_number, error, created, updated, source_type, source_id, span_id, rationale, overrides, valid, metadata, whole_session, seq)
		VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT COALESCE(max(o.seq), 0) + 1 FROM trace_assessments o WHERE o.trace = ?))
		ON CONFLICT(trace, id) DO UPDATE SET name = excluded.name, kind = excluded.kind, value = excluded.value, number = excluded.number, is_number = excluded.is_number,
			error = excluded.error, updated = excluded.updated, rationale = excluded.rationale, valid = excluded.valid, metadata = excluded.metadata, whole_session = excluded.whole_session`,
		row, a.ID, a.Name, a.Kind, a.Value, number, numeric, null(a.Error), a.Created, a.Updated, a.SourceType, a.SourceID, null(a.SpanID), null(a.Rationale), null(a.Overrides), valid, metadata, wholeSession, row)
	return err
}

func noAssessment(trace, id string) error {
	return model.Missing("Assessment with ID '%s' not found for trace '%s'", model.Cut(id, maxKey), trace)
}

func (t *tx) assessment(row int64, trace, id string) (a Assessment, err error) {
	found := false
	err = t.Each(func(r db.Rows) error {
		found = true
		_, a, err = scanAssessment(r)
		return err
	}, "SELECT "+assessmentColumns+" FROM trace_assessments a WHERE a.trace = ? AND a.id = ?", row, id)
	if err == nil && !found {
		err = noAssessment(trace, id)
	}
	a.TraceID = trace
	return a, err
}

// CreateAssessment adds an assessment to a trace.
func (s *Store) CreateAssessment(ctx context.Context, namespace string, a Assessment) (Assessment, error) {
	if err := a.check(); err != nil {
		return a, err
	}
	a.Valid = true
	if a.ID == "" {
		a.ID = "a-" + s.o.NewID()
	}
	err := s.update(ctx, func(t *tx) error {
		row, err := t.row(namespace, a.TraceID)
		if err != nil {
			return err
		}
		if _, err := t.assessment(row, a.TraceID, a.ID); err == nil {
			return model.Invalid("Assessment with ID '%s' already exists for trace '%s'; leave the ID to the server.", a.ID, a.TraceID)
		} else if !model.IsMissing(err) {
			return err
		}
		if a.Overrides != "" {
			n, err := t.Exec("UPDATE trace_assessments SET valid = 0 WHERE trace = ? AND id = ?", row, a.Overrides)
			if err != nil {
				return err
			}
			if n == 0 {
				return noAssessment(a.TraceID, a.Overrides)
			}
		}
		if err := t.putAssessment(row, a); err != nil {
			return err
		}
		a, err = t.assessment(row, a.TraceID, a.ID)
		return err
	})
	return a, err
}

// Assessment finds one.
func (s *Store) Assessment(ctx context.Context, namespace, trace, id string) (a Assessment, err error) {
	err = s.view(ctx, func(t *tx) error {
		row, err := t.row(namespace, trace)
		if err != nil {
			return err
		}
		a, err = t.assessment(row, trace, id)
		return err
	})
	return a, err
}

// UpdateAssessment lets change alter what may be altered: name, value, error,
// rationale and metadata.
func (s *Store) UpdateAssessment(ctx context.Context, namespace, trace, id string, change func(*Assessment) error) (a Assessment, err error) {
	err = s.update(ctx, func(t *tx) error {
		row, err := t.row(namespace, trace)
		if err != nil {
			return err
		}
		if a, err = t.assessment(row, trace, id); err != nil {
			return err
		}
		if err := errors.Join(change(&a), a.check()); err != nil {
			return err
		}
		a.Updated = s.now()
		return t.putAssessment(row, a)
	})
	return a, err
}

// DeleteAssessment deletes one; the one that it replaced is valid again. What
// does not exist is no error.
func (s *Store) DeleteAssessment(ctx context.Context, namespace, trace, id string) error {
	return s.update(ctx, func(t *tx) error {
		row, err := t.row(namespace, trace)
		if model.IsMissing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		a, err := t.assessment(row, trace, id)
		if model.IsMissing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if a.Overrides != "" {
			if _, err := t.Exec("UPDATE trace_assessments SET valid = 1 WHERE trace = ? AND id = ?", row, a.Overrides); err != nil {
				return err
			}
		}
		_, err = t.Exec("DELETE FROM trace_assessments WHERE trace = ? AND id = ?", row, id)
		return err
	})
}

// IssueCounts tells how many traces have each of some issues; those without any are left out.
func (s *Store) IssueCounts(ctx context.Context, namespace string, issues []string) (map[string]int64, error) {
	counts := map[string]int64{}
	err := s.view(ctx, func(t *tx) error {
		for from := 0; from < len(issues); from += chunk {
			where := query.Of("t.namespace = ? AND a.kind = ? AND a.name IN (??)", namespace, Issue, issues[from:min(from+chunk, len(issues))])
			err := t.Each(func(r db.Rows) error {
				var name string
				var n int64
				err := r.Scan(&name, &n)
				counts[name] = n
				return err
			}, "SELECT a.name, count(DISTINCT a.trace) FROM trace_assessments a JOIN traces t ON t.id = a.trace WHERE "+where.SQL+" GROUP BY a.name", where.Args...)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return counts, err
}
