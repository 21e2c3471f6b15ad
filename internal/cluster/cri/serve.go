//go:build linux

package cri

import (
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/utils/clock"

	"github.com/kiwerk/kiwerk/internal/cluster/image"
	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
)

// ImageMode says what may serve as an image beside our own programs.
type ImageMode string

// Modes. A stored image comes before anything but our own programs, except with ImagesHost.
const (
	// ImagesAuto takes an image where there is one or a registry gives it, and the host's tools elsewhere.
	ImagesAuto ImageMode = "auto"
	// ImagesOCI takes images only: one that is missing is an error, as on a server.
	ImagesOCI ImageMode = "oci"
	// ImagesHost takes the host's tools only.
	ImagesHost ImageMode = "host"
)

// applet is an image that manifests name everywhere and for which the host's tools do.
type applet struct{ entrypoint, cmd []string }

var applets = map[string]applet{
	"docker.io/library/busybox": {cmd: []string{"sh"}},
	"docker.io/library/alpine":  {cmd: []string{"sh"}},
	"docker.io/library/debian":  {cmd: []string{"bash"}},
	"docker.io/library/ubuntu":  {cmd: []string{"bash"}},
	"docker.io/library/bash":    {cmd: []string{"bash"}},
	"docker.io/library/python":  {cmd: []string{"python3"}},
	"docker.io/curlimages/curl": {entrypoint: []string{"curl"}},
	"registry.k8s.io/busybox":   {cmd: []string{"sh"}},
}

// pauses are where Kubernetes' image that does nothing comes from.
var pauses = []string{"registry.k8s.io/pause", "k8s.gcr.io/pause", "gcr.io/google-containers/pause", "gcr.io/google_containers/pause", "mcr.microsoft.com/oss/kubernetes/pause"}

// repository is a canonical name without tag and digest.
func repository(full string) string {
	full, _, _ = strings.Cut(full, "@")
	dir, last := path.Split(full)
	last, _, _ = strings.Cut(last, ":")
	return dir + last
}

// answers remembers what was said of names that are no stored images.
type answers struct {
	binDir string
	clock  clock.PassiveClock
	mu     sync.Mutex
	seen   recent[Taken]
	// refused are images that their registry did not give us.
	refused recent[time.Time]
}

// refusedValid is how long a registry is not asked again for an image that it did not give.
const refusedValid = 10 * time.Minute

func newAnswers(binDir string, c clock.PassiveClock) *answers {
	return &answers{binDir: binDir, clock: c}
}

// own returns a program of ours.
func (t *answers) own(ref string) (Taken, bool) {
	name, isOwn := strings.CutPrefix(ref, programs)
	if !isOwn {
		name = ownProgram(ref)
	}
	if name == "" || t.binDir == "" {
		return Taken{}, false
	}
	at := filepath.Join(t.binDir, "kiwerk-"+filepath.Base(name))
	if info, err := os.Stat(at); err != nil || !info.Mode().IsRegular() {
		return Taken{}, false
	}
	return t.note(ref, Taken{
		Ref: programs + name, What: "the program kiwerk-" + name, Path: at, Entrypoint: []string{rootfs.ProgramDir + "/" + filepath.Base(at)},
	}), true
}

// applet returns the host's tools for images that they are good for.
func (t *answers) applet(ref string) (Taken, bool) {
	full, err := image.Canonical(ref)
	if err != nil {
		return Taken{}, false
	}
	repo := repository(full)
	if slices.Contains(pauses, repo) {
		return t.note(ref, Taken{Ref: HostTools, What: "pause, which does nothing", Entrypoint: []string{rootfs.ProgramDir + "/kiwerk-agent", "pause"}}), true
	}
	a, ok := applets[repo]
	if !ok {
		return Taken{}, false
	}
	return t.note(ref, Taken{Ref: HostTools, What: "the host's own tools", Entrypoint: a.entrypoint, Cmd: a.cmd}), true
}

// host returns the host's tools for any image, with the reason.
func (t *answers) host(ref, why string) Taken {
	if a, ok := t.applet(ref); ok {
		return a
	}
	taken := Taken{Ref: HostTools, What: "the host's own tools"}
	if why != "" {
		taken.What += " (" + why + ")"
	}
	return t.note(ref, taken)
}

func (t *answers) note(ref string, taken Taken) Taken {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen.put(ref, taken)
	return taken
}

// before is what a name was answered. The kubelet asks with a tag, and later says what the pod has.
func (t *answers) before(ref string) (Taken, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range []string{ref, ref + ":latest"} {
		if taken, ok := t.seen.values[name]; ok {
			return taken, true
		}
	}
	return Taken{}, false
}

func (t *answers) refuse(ref string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refused.put(ref, t.clock.Now())
}

func (t *answers) wasRefused(ref string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ok := t.refused.values[ref]
	return ok && t.clock.Since(at) < refusedValid
}

// list describes what was seen, one entry for each thing that serves.
func (t *answers) list() []*runtimeapi.Image {
	t.mu.Lock()
	defer t.mu.Unlock()
	names, sample := map[string][]string{}, map[string]Taken{}
	for name, taken := range t.seen.values {
		names[taken.Ref] = append(names[taken.Ref], name)
		sample[taken.Ref] = taken
	}
	var list []*runtimeapi.Image
	for ref, taken := range sample {
		list = append(list, taken.report(names[ref]...))
	}
	return list
}

const (
	whyUnreachable = "no registry answers"
	whyRefused     = "the registry does not give this image"
)

// fromStore returns a stored image.
func (s *Server) fromStore(ref string) (Taken, bool) {
	if s.cfg.Images == nil || s.mode() == ImagesHost {
		return Taken{}, false
	}
	i, ok := s.cfg.Images.Find(ref)
	if !ok {
		return Taken{}, false
	}
	return takenStored(i), true
}

func takenStored(i *image.Image) Taken {
	const shown = len("sha256:") + 12
	what := "OCI image " + i.ID[:shown]
	if i.Loaded {
		what += ", loaded from a file"
	}
	return Taken{Ref: i.ID, What: what, Entrypoint: i.Config.Entrypoint, Cmd: i.Config.Cmd, stored: i}
}

func (s *Server) mode() ImageMode {
	if s.cfg.Images == nil {
		return ImagesHost
	}
	return s.cfg.ImageMode
}

// lookUp answers without asking anybody: ok is false if a registry would have to be asked.
func (s *Server) lookUp(ref string) (taken Taken, ok bool, err error) {
	if ref == HostTools {
		return Taken{Ref: HostTools, What: "the host's own tools"}, true, nil
	}
	if taken, ok = s.answers.own(ref); ok {
		return taken, true, nil
	}
	if taken, ok = s.fromStore(ref); ok {
		return taken, true, nil
	}
	if strings.HasPrefix(ref, "sha256:") {
		return Taken{}, false, status.Errorf(codes.NotFound, "image %s is not there", ref)
	}
	if s.mode() == ImagesHost {
		return s.answers.host(ref, ""), true, nil
	}
	if _, err := image.Canonical(ref); err != nil {
		return Taken{}, false, status.Error(codes.InvalidArgument, err.Error())
	}
	if s.mode() == ImagesOCI {
		return Taken{}, false, nil
	}
	if taken, ok = s.answers.applet(ref); ok {
		return taken, true, nil
	}
	if s.answers.wasRefused(ref) {
		return s.answers.host(ref, whyRefused), true, nil
	}
	return Taken{}, false, nil
}

// present tells what serves for an image without pulling it. Where the host's
// tools stand in for missing images, they do when no registry answers.
func (s *Server) present(ctx context.Context, ref string) (Taken, bool, error) {
	taken, ok, err := s.lookUp(ref)
	if ok || err != nil || s.mode() != ImagesAuto {
		return taken, ok, err
	}
	if err := s.cfg.Images.Reachable(ctx, ref); err != nil {
		return s.answers.host(ref, whyUnreachable), true, nil //nolint:nilerr // That is the answer.
	}
	return Taken{}, false, nil
}

// pull asks the registry, which may have a newer image than the stored one.
func (s *Server) pull(ctx context.Context, ref string, auth *image.Auth, tell func(image.Progress)) (Taken, error) {
	have, ok, err := s.lookUp(ref)
	if err != nil {
		return Taken{}, err
	}
	if ok && have.stored == nil {
		return have, nil
	}
	if s.mode() == ImagesAuto {
		if err := s.cfg.Images.Reachable(ctx, ref); err != nil {
			return s.instead(ref, have, whyUnreachable), nil //nolint:nilerr // That is the answer.
		}
	}
	i, err := s.cfg.Images.Pull(ctx, ref, auth, tell)
	switch {
	case err == nil:
		return takenStored(i), nil
	case s.mode() == ImagesOCI || ctx.Err() != nil:
	case errors.Is(err, image.ErrUnreachable):
		return s.instead(ref, have, whyUnreachable), nil
	// Whoever may not have an image must not get what another was given of it.
	case errors.Is(err, image.ErrRefused) && (have.stored == nil || have.stored.Loaded):
		if have.stored == nil {
			s.answers.refuse(ref)
		}
		return s.instead(ref, have, whyRefused), nil
	}
	return Taken{}, status.Error(codeOf(err), err.Error())
}

// instead is the stored image, or the host's tools.
func (s *Server) instead(ref string, have Taken, why string) Taken {
	if have.stored != nil {
		return have
	}
	return s.answers.host(ref, why)
}

func codeOf(err error) codes.Code {
	switch {
	case errors.Is(err, image.ErrRefused):
		return codes.NotFound
	case errors.Is(err, image.ErrUnreachable):
		return codes.Unavailable
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	}
	return codes.Unknown
}

// takenFor is what serves for a container. The kubelet names the image that
// it was answered before, by which a moved tag does not matter.
func (s *Server) takenFor(ctx context.Context, spec *runtimeapi.ImageSpec) (Taken, error) {
	ref := spec.GetImage()
	if strings.HasPrefix(ref, "sha256:") {
		if taken, ok := s.fromStore(ref); ok {
			return taken, nil
		}
		return Taken{}, status.Errorf(codes.NotFound, "image %s (%s) is not there any more", ref, spec.GetUserSpecifiedImage())
	}
	if ref == HostTools && spec.GetUserSpecifiedImage() != "" {
		return s.noted(spec.GetUserSpecifiedImage()), nil
	}
	taken, ok, err := s.present(ctx, imageName(spec))
	if err == nil && !ok {
		err = status.Errorf(codes.NotFound, "image %s is not there", imageName(spec))
	}
	return taken, err
}

// noted is the answer that a name got before, with its reason.
func (s *Server) noted(ref string) Taken {
	if taken, ok := s.answers.before(ref); ok {
		return taken
	}
	return s.answers.host(ref, "")
}

// Served tells what serves for an image, as far as that can be said without
// asking a registry. oci says that it is an image and not what stands for one.
func (s *Server) Served(ref string) (what string, oci bool) {
	if taken, ok, err := s.lookUp(ref); ok && err == nil {
		return taken.What, taken.stored != nil
	}
	if taken, ok := s.answers.before(ref); ok && s.mode() == ImagesAuto {
		return taken.What, false
	}
	return "", true
}
