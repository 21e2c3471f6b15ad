package monitor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"

	"github.com/kiwerk/kiwerk/internal/data"
	"github.com/kiwerk/kiwerk/internal/monitor/ks"
	"github.com/kiwerk/kiwerk/internal/server"
)

// ErrNoRun says that a run does not exist, and so none of its artifacts does.
var ErrNoRun = fmt.Errorf("there is no such run: %w", fs.ErrNotExist)

// Source finds the artifacts of training runs. Tracking fills it.
type Source interface {
	// RunOf is the run that made a version of a registered model; an error
	// that is fs.ErrNotExist says that there is none.
	RunOf(ctx context.Context, namespace, model, version string) (run string, err error)
	// OpenArtifact reads an artifact of a run; fs.ErrNotExist says that there is none, [ErrNoRun] that there is no such run.
	OpenArtifact(ctx context.Context, namespace, run, path string) (io.ReadCloser, error)
}

// Limits of a reference.
const (
	maxReferenceBytes = 1 << 30
	maxReferenceRows  = 1_000_000
	// maxComparedRows bounds the work of the exact test. More rows are thinned evenly.
	maxComparedRows = 10_000
)

// Reference is what a model was trained on.
type Reference struct {
	Run, Artifact string
	// Digest is the sha256 of the artifact.
	Digest string
	// Rows of the artifact.
	Rows  int
	Names []string
	// Profile divides the values of each feature.
	Profile data.Profile

	columns [][]float64 // sorted, without NaN
	counts  *data.Counts
}

// InvalidReferenceError is an artifact that nothing can be compared with.
type InvalidReferenceError struct {
	Run, Artifact string
	Err           error
}

func (e *InvalidReferenceError) Error() string {
	return fmt.Sprintf("artifact %s of run %s: %v", e.Artifact, e.Run, e.Err)
}

// Unwrap gives the cause.
func (e *InvalidReferenceError) Unwrap() error { return e.Err }

// ReadReference reads the artifact of a run. The column named label is no feature.
func ReadReference(r io.Reader, run, artifact, label string) (*Reference, error) {
	digest := sha256.New()
	limited := &io.LimitedReader{R: r, N: maxReferenceBytes + 1}
	frame, err := data.ReadFrame(io.TeeReader(limited, digest), label, maxReferenceRows)
	switch {
	case limited.N <= 0:
		err = fmt.Errorf("it is larger than %d bytes", maxReferenceBytes)
	case err != nil:
		if server.AsError(err).Status >= http.StatusInternalServerError {
			return nil, err // reading failed, not the content
		}
	case len(frame.Names) == 0:
		err = fmt.Errorf("it has no column beside %q", label)
	case frame.Rows() == 0:
		err = errors.New("it has no row")
	}
	if err != nil {
		return nil, &InvalidReferenceError{run, artifact, err}
	}
	ref := &Reference{
		Run: run, Artifact: artifact, Digest: hex.EncodeToString(digest.Sum(nil)), Rows: frame.Rows(), Names: frame.Names,
	}
	for f, column := range frame.Columns {
		frame.Columns[f] = thin(column)
		ref.columns = append(ref.columns, ks.Sorted(frame.Columns[f]))
	}
	ref.Profile = data.NewProfile(frame.Names, frame.Columns)
	ref.counts = data.NewCounts(len(frame.Names))
	for i := range frame.Rows() {
		ref.counts.Add(ref.Profile, frame.Row(i))
	}
	return ref, nil
}

// thin takes every k-th value of a column that is too long.
func thin(column []float64) []float64 {
	if len(column) <= maxComparedRows {
		return column
	}
	thinned := make([]float64, maxComparedRows)
	for i := range thinned {
		thinned[i] = column[i*len(column)/maxComparedRows]
	}
	return thinned
}

// LoadReference opens and reads.
func LoadReference(ctx context.Context, s Source, namespace, run, artifact, label string) (ref *Reference, err error) {
	r, err := s.OpenArtifact(ctx, namespace, run, artifact)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return ReadReference(r, run, artifact, label)
}

// Features is the number of features.
func (r *Reference) Features() int { return len(r.Names) }

// bins pairs the counts of the reference with those of a window.
func (r *Reference) bins(f int, window map[int]int) []ks.Bin {
	seen := map[int]bool{}
	var order []int
	for _, side := range []map[int]int{r.counts.Features[f], window} {
		for bin := range side {
			if !seen[bin] {
				seen[bin] = true
				order = append(order, bin)
			}
		}
	}
	slices.Sort(order)
	bins := make([]ks.Bin, len(order))
	for i, bin := range order {
		bins[i] = ks.Bin{Reference: r.counts.Features[f][bin], Window: window[bin], Point: data.Point(bin)}
	}
	return bins
}
