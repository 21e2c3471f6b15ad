package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/kiwerk/kiwerk/internal/tracking/client"
	"github.com/kiwerk/kiwerk/internal/tracking/genai"
)

// Unread implements [Partial].
func (s *Server) Unread() []string { return []string{"scorers", "issues"} }

// Evaluation implements [Evaluated] with the datasets only. Servers that are old or keep
// things in a folder have none.
func (s *Server) Evaluation(ctx context.Context, fn func(genai.Whole) error) error {
	for d, err := range s.c.EvaluationDatasets(ctx) {
		var refused *client.Error
		if client.IsUnknownRoute(err) || errors.As(err, &refused) && refused.Code == "FEATURE_DISABLED" {
			return nil
		}
		if err != nil {
			return err
		}
		w, err := s.dataset(ctx, d)
		if err != nil {
			return fmt.Errorf("evaluation dataset %s: %w", d.ID, err)
		}
		if err := fn(w); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) dataset(ctx context.Context, d client.EvaluationDataset) (w genai.Whole, err error) {
	m := genai.MovedDataset{
		ID: d.ID, Namespace: s.namespace, Name: d.Name, Digest: d.Digest, Schema: d.Schema, Created: int64(d.Created), Updated: int64(d.Updated),
		CreatedBy: d.CreatedBy, UpdatedBy: d.UpdatedBy, Tags: map[string]string{}, Experiments: d.Experiments,
	}
	if d.Tags != "" {
		if err := json.Unmarshal([]byte(d.Tags), &m.Tags); err != nil {
			return w, fmt.Errorf("tags: %w", err)
		}
	}
	if len(m.Experiments) == 0 {
		if m.Experiments, err = s.c.EvaluationExperiments(ctx, d.ID); err != nil {
			return w, err
		}
	}
	slices.Sort(m.Experiments)
	for r, err := range s.c.EvaluationRecords(ctx, d.ID) {
		if err != nil {
			return w, err
		}
		m.Records = append(m.Records, genai.MovedRecord{
			ID: r.ID, Inputs: jsonOf(r.Inputs), Outputs: unwrapped(jsonOf(r.Outputs)), Expectations: jsonOf(r.Expectations), Tags: jsonOf(r.Tags), Source: jsonOf(r.Source),
			SourceID: r.SourceID, SourceType: r.SourceType, Created: int64(r.Created), Updated: int64(r.Updated), CreatedBy: r.CreatedBy, UpdatedBy: r.UpdatedBy,
		})
	}
	return m.Whole()
}

// jsonOf a field, or nothing where it is missing.
func jsonOf(b json.RawMessage) string {
	if string(b) == "null" {
		return ""
	}
	return string(b)
}
