//go:build linux

package cri

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
)

// HostTools is the reference of every image that stands for the host's own tools.
const HostTools = "kiwerk.dev/host-tools"

// Taken is what serves in place of an image.
type Taken struct {
	// Ref is reported as the image's id.
	Ref string
	// What says it to people.
	What string
	// Path is our own program, empty for the host's tools.
	Path string
}

// imageTable answers what an image name means here.
type imageTable struct {
	binDir string
	mu     sync.Mutex
	seen   map[string]Taken
}

// resolve never fails: every name that is not one of our programs means the host's tools.
func (t *imageTable) resolve(image string) Taken {
	taken := Taken{Ref: HostTools, What: "the host's own tools"}
	if name := ownProgram(image); name != "" && t.binDir != "" {
		path := filepath.Join(t.binDir, "kiwerk-"+name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			taken = Taken{Ref: "kiwerk.dev/program/" + name, What: "the program kiwerk-" + name, Path: path}
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen == nil {
		t.seen = map[string]Taken{}
	}
	t.seen[image] = taken
	return taken
}

// ownProgram returns "modelserver" for kiwerk/modelserver, ghcr.io/kiwerk/modelserver:v1 and the like.
func ownProgram(image string) string {
	name, _, _ := strings.Cut(image, "@")
	parts := strings.Split(name, "/")
	if len(parts) < 2 || parts[len(parts)-2] != "kiwerk" {
		return ""
	}
	last, _, _ := strings.Cut(parts[len(parts)-1], ":")
	for _, r := range last {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' {
			return ""
		}
	}
	return last
}

// command joins entrypoint, command and arguments as an image would. Where the
// host's tools serve there is no entrypoint that arguments alone could belong
// to, so they are the command (`kubectl run x --image=y -- ls`), and What says so.
func (t *Taken) command(image string, command, args []string) ([]string, error) {
	if len(command) == 0 && t.Path != "" {
		command = []string{rootfs.ProgramDir + "/" + filepath.Base(t.Path)}
	}
	if len(command) == 0 && len(args) > 0 {
		t.What += "; the pod's args were run as its command"
		return slices.Clone(args), nil
	}
	if len(command) == 0 {
		return nil, fmt.Errorf("the image %q has no entrypoint here, as the host's own tools serve in its place: say in the pod's `command` what to run", image)
	}
	return append(slices.Clone(command), args...), nil
}

// imageName is the name as the pod has it.
func imageName(i *runtimeapi.ImageSpec) string {
	if i.GetUserSpecifiedImage() != "" {
		return i.GetUserSpecifiedImage()
	}
	return i.GetImage()
}

func (t Taken) image(names ...string) *runtimeapi.Image {
	slices.Sort(names)
	return &runtimeapi.Image{
		Id: t.Ref, RepoTags: names, Size: 1, Pinned: true,
		Uid: &runtimeapi.Int64Value{Value: 0}, Spec: &runtimeapi.ImageSpec{Image: t.Ref},
	}
}

// ListImages lists what was asked for since the start.
func (s *Server) ListImages(context.Context, *runtimeapi.ListImagesRequest) (*runtimeapi.ListImagesResponse, error) {
	s.images.mu.Lock()
	defer s.images.mu.Unlock()
	names := map[Taken][]string{}
	for name, taken := range s.images.seen {
		names[taken] = append(names[taken], name)
	}
	resp := &runtimeapi.ListImagesResponse{}
	for taken, list := range names {
		resp.Images = append(resp.Images, taken.image(list...))
	}
	return resp, nil
}

// ImageStatus says that every image is there.
func (s *Server) ImageStatus(_ context.Context, req *runtimeapi.ImageStatusRequest) (*runtimeapi.ImageStatusResponse, error) {
	name := req.GetImage().GetImage()
	if strings.HasPrefix(name, "kiwerk.dev/") {
		return &runtimeapi.ImageStatusResponse{Image: Taken{Ref: name}.image()}, nil
	}
	return &runtimeapi.ImageStatusResponse{Image: s.images.resolve(name).image(name)}, nil
}

// PullImage pulls nothing: it answers what serves in the image's place.
func (s *Server) PullImage(_ context.Context, req *runtimeapi.PullImageRequest) (*runtimeapi.PullImageResponse, error) {
	return &runtimeapi.PullImageResponse{ImageRef: s.images.resolve(req.GetImage().GetImage()).Ref}, nil
}

// RemoveImage has nothing to remove.
func (s *Server) RemoveImage(context.Context, *runtimeapi.RemoveImageRequest) (*runtimeapi.RemoveImageResponse, error) {
	return &runtimeapi.RemoveImageResponse{}, nil
}

// ImageFsInfo reports on the file system that holds the container roots.
func (s *Server) ImageFsInfo(context.Context, *runtimeapi.ImageFsInfoRequest) (*runtimeapi.ImageFsInfoResponse, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(s.cfg.StateDir, &st); err != nil {
		return nil, fmt.Errorf("file system of %s: %w", s.cfg.StateDir, err)
	}
	usage := func() []*runtimeapi.FilesystemUsage {
		return []*runtimeapi.FilesystemUsage{{
			Timestamp: s.clock.Now().UnixNano(), FsId: &runtimeapi.FilesystemIdentifier{Mountpoint: s.cfg.StateDir},
			UsedBytes: &runtimeapi.UInt64Value{Value: 0}, InodesUsed: &runtimeapi.UInt64Value{Value: 0},
		}}
	}
	return &runtimeapi.ImageFsInfoResponse{ImageFilesystems: usage(), ContainerFilesystems: usage()}, nil
}
