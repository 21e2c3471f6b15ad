package data

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/store"
)

// maxFeedback bounds the labels of one request.
const maxFeedback = 10_000

// Feedback stores the labels of predictions of one endpoint, all or none. A
// label that comes again replaces the one before. An id that is still in the
// queue is found.
func (s *Service) Feedback(ctx context.Context, namespace, endpoint string, labels []Feedback) error {
	if len(labels) == 0 || len(labels) > maxFeedback {
		return server.Invalid("feedback needs 1 to %d labels, got %d", maxFeedback, len(labels))
	}
	for i, f := range labels {
		if f.ID == "" {
			return server.Invalid("feedback %d has no id", i+1)
		}
		if _, err := scalar(f.Label); err != nil {
			return server.Invalid("feedback for prediction %q: the label must be a number, a string or a truth value: %w", f.ID, err)
		}
	}
	unknown, err := s.storeFeedback(ctx, namespace, endpoint, labels)
	if len(unknown) > 0 {
		if err := s.Flush(ctx); err != nil {
			return err
		}
		unknown, err = s.storeFeedback(ctx, namespace, endpoint, labels)
	}
	if len(unknown) > 0 {
		return unknownError(namespace, endpoint, unknown)
	}
	if err != nil {
		return err
	}
	s.labelled.Add(float64(len(labels)))
	s.changed(endpointKey{namespace, endpoint})
	return nil
}

func unknownError(namespace, endpoint string, ids []string) error {
	const most = 10
	named := strings.Join(ids[:min(len(ids), most)], ", ")
	if len(ids) > most {
		named += ", …"
	}
	e := server.NotFound("endpoint %s/%s has no prediction %s; nothing was stored", namespace, endpoint, named)
	e.Remedy = "send the id that the prediction's response carried, to the same endpoint; the rows of a request with several are ID.0, ID.1, …; predictions are kept until the monitor's retention ends"
	return e
}

var errUnknown = errors.New("unknown predictions")

func (s *Service) storeFeedback(ctx context.Context, namespace, endpoint string, labels []Feedback) (unknown []string, err error) {
	now := s.deps.Now().UnixNano()
	err = s.deps.Store.Update(ctx, func(t *store.Tx) error {
		unknown = nil
		for _, f := range labels {
			var output string
			err := t.Row(`SELECT p.output FROM data_predictions p JOIN data_streams s ON s.id = p.stream
				WHERE p.id = ? AND s.namespace = ? AND s.endpoint = ?`, f.ID, namespace, endpoint).Scan(&output)
			if store.IsNoRows(err) {
				unknown = append(unknown, f.ID)
				continue
			}
			if err != nil {
				return err
			}
			var correct *bool
			if ok, err := Correct(json.RawMessage(output), f.Label); err == nil {
				correct = &ok // else the label is kept, but says nothing of accuracy
			}
			if _, err := t.Exec("UPDATE data_predictions SET label = ?, labelled = ?, correct = ? WHERE id = ?", string(f.Label), now, correct, f.ID); err != nil {
				return err
			}
		}
		if len(unknown) > 0 {
			return errUnknown
		}
		return nil
	})
	if errors.Is(err, errUnknown) {
		err = nil
	}
	return unknown, err
}

// Stored is a prediction as it was kept.
type Stored struct {
	Prediction
	Sequence   int64           `json:"sequence"`
	Label      json.RawMessage `json:"label,omitempty"`
	LabelledAt *time.Time      `json:"labelledAt,omitempty"`
	Correct    *bool           `json:"correct,omitempty"`
}

// Get returns a prediction of a project.
func (s *Service) Get(ctx context.Context, namespace, id string) (*Stored, error) {
	p, err := s.get(ctx, namespace, id)
	if store.IsNoRows(err) {
		if err := s.Flush(ctx); err != nil {
			return nil, err
		}
		p, err = s.get(ctx, namespace, id)
	}
	if store.IsNoRows(err) {
		return nil, server.NotFound("project %q has no prediction %q", namespace, id)
	}
	return p, err
}

func (s *Service) get(ctx context.Context, namespace, id string) (*Stored, error) {
	p := &Stored{}
	err := s.deps.Store.View(ctx, func(t *store.Tx) error {
		var at int64
		var output string
		var label *string
		var labelled *int64
		var features []byte
		if err := t.Row(`SELECT p.id, s.namespace, s.endpoint, s.model, s.version, p.revision, p.seq, p.time, p.output, p.features, p.label, p.labelled, p.correct
			FROM data_predictions p JOIN data_streams s ON s.id = p.stream WHERE p.id = ? AND s.namespace = ?`, id, namespace).
			Scan(&p.ID, &p.Namespace, &p.Endpoint, &p.Model, &p.ModelVersion, &p.Revision, &p.Sequence, &at, &output, &features, &label, &labelled, &p.Correct); err != nil {
			return err
		}
		p.Time, p.Output = time.Unix(0, at).UTC(), json.RawMessage(output)
		if features != nil {
			p.Features = decodeRow(features)
		}
		if label != nil {
			p.Label = json.RawMessage(*label)
		}
		if labelled != nil {
			l := time.Unix(0, *labelled).UTC()
			p.LabelledAt = &l
		}
		return nil
	})
	return p, err
}
