package data

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/store"
)

// Recording is what is to be kept of an endpoint's predictions beside id,
// model version, output and time.
type Recording struct {
	Namespace string `json:"-"`
	Endpoint  string `json:"-"`
	// Names of the features, in the order of a row.
	Names []string `json:"names,omitempty"`
	// Samples keeps the features themselves.
	Samples bool `json:"samples,omitempty"`
	// Masked features are counted but never kept.
	Masked []string `json:"masked,omitempty"`
	// Retention of everything that is kept of a prediction; 0 is the service's.
	Retention time.Duration `json:"retention,omitempty"`
	// Rows of Model and ModelVersion from row Origin of their stream on are
	// counted in the bins of Profile, WindowSize rows per window.
	Model        string   `json:"model,omitempty"`
	ModelVersion string   `json:"modelVersion,omitempty"`
	Profile      *Profile `json:"profile,omitempty"`
	WindowSize   int      `json:"windowSize,omitempty"`
	Origin       int64    `json:"origin,omitempty"`

	digest string
	masked []int
}

// prepare computes what the writer needs for each row.
func (r *Recording) prepare() error {
	r.masked = nil
	for _, name := range r.Masked {
		i := slices.Index(r.Names, name)
		if i < 0 {
			return server.Invalid("masked field %q is no feature of the reference; its features are %.200q", name, r.Names)
		}
		r.masked = append(r.masked, i)
	}
	if r.Profile == nil {
		return nil
	}
	if r.WindowSize <= 0 || len(r.Profile.Names) != len(r.Profile.Cuts) {
		return fmt.Errorf("data: recording of %s/%s: a window size and one list of cuts per feature are needed", r.Namespace, r.Endpoint)
	}
	r.digest = fmt.Sprintf("%s-%d-%d", r.Profile.Digest(), r.WindowSize, r.Origin)
	return nil
}

// SetRecording says what to keep from now on; it survives restarts. Setting
// the same again changes nothing.
func (s *Service) SetRecording(ctx context.Context, r Recording) error {
	if err := r.prepare(); err != nil {
		return err
	}
	spec, err := json.Marshal(r)
	if err != nil {
		return err
	}
	key := endpointKey{r.Namespace, r.Endpoint}
	err = s.deps.Store.Update(ctx, func(t *store.Tx) error {
		_, err := t.Exec(`INSERT INTO data_recordings(namespace, endpoint, spec) VALUES(?, ?, ?)
			ON CONFLICT(namespace, endpoint) DO UPDATE SET spec = excluded.spec`, r.Namespace, r.Endpoint, string(spec))
		return err
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recordings[key] = &r
	return nil
}

// ForgetRecording goes back to the least that is kept.
func (s *Service) ForgetRecording(ctx context.Context, namespace, endpoint string) error {
	err := s.deps.Store.Update(ctx, func(t *store.Tx) error {
		_, err := t.Exec("DELETE FROM data_recordings WHERE namespace = ? AND endpoint = ?", namespace, endpoint)
		return err
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.recordings, endpointKey{namespace, endpoint})
	return nil
}

// RecordingOf is what is being kept of an endpoint, nil if nobody asked.
func (s *Service) RecordingOf(namespace, endpoint string) *Recording {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.recordings[endpointKey{namespace, endpoint}]
}

func (s *Service) loadRecordings(ctx context.Context) error {
	loaded := map[endpointKey]*Recording{}
	err := s.deps.Store.View(ctx, func(t *store.Tx) error {
		return t.Each(func(rows store.Rows) error {
			var r Recording
			var spec string
			if err := rows.Scan(&r.Namespace, &r.Endpoint, &spec); err != nil {
				return err
			}
			if err := json.Unmarshal([]byte(spec), &r); err != nil {
				return fmt.Errorf("stored recording of %s/%s: %w", r.Namespace, r.Endpoint, err)
			}
			if err := r.prepare(); err != nil {
				return err
			}
			loaded[endpointKey{r.Namespace, r.Endpoint}] = &r
			return nil
		}, "SELECT namespace, endpoint, spec FROM data_recordings")
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recordings = loaded
	return nil
}
