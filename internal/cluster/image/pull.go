//go:build linux

package image

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Why a pull did not begin.
var (
	// ErrUnreachable is a registry that does not answer.
	ErrUnreachable = errors.New("the registry cannot be reached")
	// ErrRefused is a registry that has no such image or does not give it to these credentials.
	ErrRefused = errors.New("the registry does not give the image")
)

// Auth are credentials for one registry, as imagePullSecrets hold them.
type Auth struct {
	Username, Password string
	// Auth is user:password in base64.
	Auth                         string
	IdentityToken, RegistryToken string
}

// Pull fetches an image from its registry. An image that has not changed there costs one question.
func (s *Store) Pull(ctx context.Context, ref string, auth *Auth, tell func(Progress)) (*Image, error) {
	r, err := name.ParseReference(ref, name.WeakValidation)
	if err != nil {
		return nil, fmt.Errorf("image name %.200q: %w", ref, err)
	}
	full := canonical(r)
	fail := func(err error) (*Image, error) { return nil, fmt.Errorf("pull %s: %w", full, err) }
	defer s.working.lock("name " + full)()
	s.busy.RLock()
	defer s.busy.RUnlock()
	desc, err := remote.Get(r, s.remoteOptions(ctx, auth)...)
	if err != nil {
		return fail(kindOf(err))
	}
	img, err := desc.Image()
	if err != nil {
		return fail(fmt.Errorf("no image for linux/%s: %w", runtime.GOARCH, err))
	}
	manifest, err := img.Manifest()
	if err != nil {
		return fail(err)
	}
	defer s.working.lock(imageKey(manifest.Config.Digest.String()))()
	rec, known := s.record(manifest.Config.Digest.String())
	if !known {
		if manifest.Config.Size > maxConfig {
			return fail(fmt.Errorf("its configuration has %d bytes, at most %d are accepted", manifest.Config.Size, maxConfig))
		}
		if rec, err = s.add(ctx, full, img, tell); err != nil {
			return fail(err)
		}
	}
	got, err := s.setName(nameRecord{Name: full, ID: rec.ID, Digest: desc.Digest.String(), Source: SourcePull, Added: s.clock.Now()})
	if err != nil {
		return fail(err)
	}
	s.reached(r.Context().Registry, nil)
	return got, nil
}

func (s *Store) record(id string) (imageRecord, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec, ok := s.images[id]
	return rec, ok
}

func (s *Store) remoteOptions(ctx context.Context, auth *Auth) []remote.Option {
	opts := []remote.Option{
		remote.WithContext(ctx), remote.WithTransport(s.transport), remote.WithUserAgent("kiwerk"),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}),
	}
	if auth != nil && *auth != (Auth{}) {
		opts = append(opts, remote.WithAuth(authn.FromConfig(authn.AuthConfig{
			Username: auth.Username, Password: auth.Password, Auth: auth.Auth,
			IdentityToken: auth.IdentityToken, RegistryToken: auth.RegistryToken,
		})))
	}
	return opts
}

// kindOf marks what a registry's first answer, or its silence, means.
func kindOf(err error) error {
	var answer *transport.Error
	if !errors.As(err, &answer) {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

// probe is what was last seen of a registry.
type probe struct {
	err error
	at  time.Time
}

const (
	// probePatience is how long a pod may wait to learn that there is no registry.
	probePatience = 1500 * time.Millisecond
	// probeValid is how long an answer counts.
	probeValid = 2 * time.Minute
)

// Reachable asks whether the registry of an image answers, for a short time
// only. Once it did not, that answer is given at once, and looked after again
// beside when it is old: a laptop without network waits once.
func (s *Store) Reachable(ctx context.Context, ref string) error {
	r, err := name.ParseReference(ref, name.WeakValidation)
	if err != nil {
		return fmt.Errorf("image name %.200q: %w", ref, err)
	}
	reg := r.Context().Registry
	last, known := s.lastProbe(reg)
	switch {
	case known && s.clock.Since(last.at) < probeValid:
		return last.err
	case known && last.err != nil:
		s.reached(reg, last.err)                                          // others need not ask meanwhile
		s.tasks.Go(func() { _ = s.ask(context.WithoutCancel(ctx), reg) }) // the answer is kept for the next
		return last.err
	}
	defer s.working.lock("registry " + reg.Name())()
	if last, known := s.lastProbe(reg); known && s.clock.Since(last.at) < probeValid {
		return last.err
	}
	return s.ask(ctx, reg)
}

func (s *Store) lastProbe(reg name.Registry) (probe, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.probes[reg.Name()]
	return p, ok
}

func (s *Store) ask(ctx context.Context, reg name.Registry) error {
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	_, err := transport.Ping(ctx, reg, s.transport)
	var answer *transport.Error
	if errors.As(err, &answer) {
		err = nil // it is there, whatever it says
	}
	if err != nil {
		err = fmt.Errorf("%w: %s: %w", ErrUnreachable, reg.Name(), err)
	}
	s.reached(reg, err)
	return err
}

func (s *Store) reached(reg name.Registry, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.probes[reg.Name()] = probe{err, s.clock.Now()}
}
