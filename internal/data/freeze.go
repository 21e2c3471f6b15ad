package data

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/store"
)

// FreezeRequest makes data-set versions of recorded samples and their labels.
type FreezeRequest struct {
	Namespace, Endpoint string
	// From and To bound the time of the predictions; labels that came after To do not count.
	From, To time.Time
	// MinLabelled samples must be there.
	MinLabelled int
	// Holdout is the share of distinct rows that goes into the gate part.
	Holdout float64
	// Dataset gets the training part, GateDataset the part held back.
	Dataset, GateDataset string
	// Label is the name of the column with the answers; empty is "label".
	Label string
	// Previous is the version of Dataset that the serving model was trained
	// on, 0 if none: none of its rows goes into the gate part.
	Previous int
	// IncludePrevious puts the rows of Previous before the new ones.
	IncludePrevious bool
}

// Frozen is what Freeze made.
type Frozen struct {
	Training, Gate *Version
	// Samples are the labelled ones that were found, Distinct those that differ.
	Samples, Distinct int
	// TrainingRows and GateRows are new ones; PreviousRows come from the version before.
	TrainingRows, GateRows, PreviousRows int
}

// DefaultLabel is the name of the column with the answers.
const DefaultLabel = "label"

// sample is a labelled row.
type sample struct {
	id       string
	features []byte
	label    string
}

// Freeze makes a training and a gate version of the labelled samples of an
// endpoint. Which part a sample belongs to depends on its id only, and rows
// that occur more than once are taken once, so the parts share no row and
// asking again gives the same versions.
func (s *Service) Freeze(ctx context.Context, r FreezeRequest) (*Frozen, error) {
	if r.Holdout < 0 || r.Holdout >= 1 {
		return nil, server.Invalid("the part held back must be at least 0 and below 1, got %v", r.Holdout)
	}
	if r.Label == "" {
		r.Label = DefaultLabel
	}
	if err := s.Flush(ctx); err != nil {
		return nil, err
	}
	samples, err := s.samples(ctx, r)
	if err != nil {
		return nil, err
	}
	f := &Frozen{Samples: len(samples)}
	if f.Samples < r.MinLabelled || f.Samples == 0 {
		return nil, server.Errorf(409, "INSUFFICIENT_DATA", "endpoint %s/%s has %d labelled samples since %s, %d are needed",
			r.Namespace, r.Endpoint, f.Samples, r.From.Format(time.RFC3339), max(r.MinLabelled, 1))
	}
	previous, err := s.previous(ctx, r)
	if err != nil {
		return nil, err
	}
	names, err := s.featureNames(r, previous, len(samples[0].features)/8)
	if err != nil {
		return nil, err
	}
	training, gate, err := s.split(f, samples, previous, names, r)
	if err != nil {
		return nil, err
	}
	if f.Training, err = s.ingestFrozen(ctx, r.Namespace, r.Dataset, training); err != nil {
		return nil, err
	}
	if f.GateRows > 0 {
		f.Gate, err = s.ingestFrozen(ctx, r.Namespace, r.GateDataset, gate)
	}
	return f, err
}

func (s *Service) samples(ctx context.Context, r FreezeRequest) (list []sample, err error) {
	err = s.deps.Store.View(ctx, func(t *store.Tx) error {
		return t.Each(func(rows store.Rows) error {
			var sm sample
			var label string
			if err := rows.Scan(&sm.id, &sm.features, &label); err != nil {
				return err
			}
			if sm.label, err = scalar(json.RawMessage(label)); err != nil {
				return err
			}
			list = append(list, sm)
			return nil
		}, `SELECT p.id, p.features, p.label FROM data_streams s JOIN data_predictions p ON p.stream = s.id
			WHERE s.namespace = ? AND s.endpoint = ? AND p.time >= ? AND p.time <= ? AND p.labelled <= ? AND p.features IS NOT NULL
			ORDER BY p.time, p.id`, r.Namespace, r.Endpoint, r.From.UnixNano(), r.To.UnixNano(), r.To.UnixNano())
	})
	return list, err
}

func (s *Service) previous(ctx context.Context, r FreezeRequest) (*Frame, error) {
	if r.Previous == 0 {
		return nil, nil //nolint:nilnil // No earlier version is no error.
	}
	v, err := s.Version(ctx, r.Namespace, r.Dataset, strconv.Itoa(r.Previous))
	if err != nil {
		return nil, err
	}
	f, err := s.Frame(ctx, v, r.Label)
	if err != nil {
		return nil, err
	}
	if len(f.Labels) == 0 {
		return nil, server.Invalid("%s has no column %q with the answers; name it in the policy", v.URI, r.Label)
	}
	return &f, nil
}

// featureNames takes the names that the monitor gave, else those of the version before.
func (s *Service) featureNames(r FreezeRequest, previous *Frame, features int) ([]string, error) {
	var names []string
	if rec := s.RecordingOf(r.Namespace, r.Endpoint); rec != nil {
		names = rec.Names
	}
	if len(names) == 0 && previous != nil {
		names = previous.Names
	}
	if len(names) == 0 {
		for i := range features {
			names = append(names, "f"+strconv.Itoa(i))
		}
	}
	if len(names) != features {
		return nil, server.Invalid("the samples of endpoint %s/%s have %d features, the reference has %d", r.Namespace, r.Endpoint, features, len(names))
	}
	if previous != nil {
		for _, n := range names {
			if !slices.Contains(previous.Names, n) {
				return nil, server.Invalid("%s has no column %q, which the endpoint's samples have", URI(r.Dataset, r.Previous), n)
			}
		}
	}
	return names, nil
}

// split writes both parts as CSV and fills the numbers of f.
func (s *Service) split(f *Frozen, samples []sample, previous *Frame, names []string, r FreezeRequest) (training, gate []byte, err error) {
	train, held := newCSVWriter(names, r.Label), newCSVWriter(names, r.Label)
	known := map[string]bool{} // rows that the serving model was trained on
	previous.each(names, func(row []float64, label string) {
		known[string(encodeRow(row))] = true
		if r.IncludePrevious {
			train.add(row, label)
			f.PreviousRows++
		}
	})
	seen := map[string]bool{}
	for _, sm := range samples {
		if len(sm.features) != 8*len(names) || seen[string(sm.features)] {
			continue
		}
		seen[string(sm.features)] = true
		f.Distinct++
		trainedOn := known[string(sm.features)]
		switch {
		case HeldBack(sm.id, r.Holdout):
			if !trainedOn {
				held.add(decodeRow(sm.features), sm.label)
				f.GateRows++
			}
		case trainedOn && r.IncludePrevious: // it is there already
		default:
			train.add(decodeRow(sm.features), sm.label)
			f.TrainingRows++
		}
	}
	if training, err = train.bytes(); err != nil {
		return nil, nil, err
	}
	gate, err = held.bytes()
	return training, gate, err
}

// each calls fn with every row, its values in the order of names. No frame has no row.
func (f *Frame) each(names []string, fn func(row []float64, label string)) {
	if f == nil {
		return
	}
	order := make([]int, len(names))
	for i, n := range names {
		order[i] = slices.Index(f.Names, n)
	}
	row := make([]float64, len(names))
	for i := range f.Rows() {
		for k, c := range order {
			row[k] = f.Columns[c][i]
		}
		fn(row, f.Labels[i])
	}
}

// HeldBack tells whether Freeze puts the sample with this id into the gate
// part. It draws by the id, so that the same sample always gets the same lot.
func HeldBack(id string, share float64) bool {
	sum := sha256.Sum256([]byte("gate:" + id))
	return float64(binary.BigEndian.Uint64(sum[:8]))/math.MaxUint64 < share
}

func (s *Service) ingestFrozen(ctx context.Context, namespace, name string, content []byte) (*Version, error) {
	return s.Ingest(ctx, IngestRequest{Namespace: namespace, Name: name, Body: bytes.NewReader(content), origin: OriginFrozen})
}

type csvWriter struct {
	buffer bytes.Buffer
	w      *csv.Writer
	record []string
	err    error
}

func newCSVWriter(names []string, label string) *csvWriter {
	c := &csvWriter{record: make([]string, len(names)+1)}
	c.w = csv.NewWriter(&c.buffer)
	c.err = c.w.Write(append(slices.Clone(names), label))
	return c
}

func (c *csvWriter) add(row []float64, label string) {
	for i, v := range row {
		c.record[i] = ""
		if !math.IsNaN(v) {
			c.record[i] = strconv.FormatFloat(v, 'g', -1, 64)
		}
	}
	c.record[len(row)] = label
	if err := c.w.Write(c.record); err != nil && c.err == nil {
		c.err = err
	}
}

func (c *csvWriter) bytes() ([]byte, error) {
	c.w.Flush()
	if c.err == nil {
		c.err = c.w.Error()
	}
	return c.buffer.Bytes(), c.err
}
