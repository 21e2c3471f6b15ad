//go:build linux

package cri

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kiwerk/kiwerk/internal/cluster/image"
)

// HostTools is the reference of every image that stands for the host's own tools.
const HostTools = "kiwerk.dev/host-tools"

// programs is the beginning of references to programs of ours.
const programs = "kiwerk.dev/program/"

// Taken is what serves in place of an image.
type Taken struct {
	// Ref is reported as the image's id.
	Ref string
	// What says it to people.
	What string
	// Path is our own program, empty for anything else.
	Path string `json:",omitempty"`
	// Entrypoint and Cmd run where the pod does not say what to run.
	Entrypoint, Cmd []string `json:",omitempty"`
	// stored is the OCI image, if one serves.
	stored *image.Image
}

// command joins entrypoint, command and arguments as the image says. Where the
// host's tools serve for an image that we do not know, arguments alone are the
// command (`kubectl run x --image=y -- ls`), and What says so.
func (t *Taken) command(image string, command, args []string) ([]string, error) {
	switch {
	case len(command) > 0:
		return append(slices.Clone(command), args...), nil
	case len(t.Entrypoint) > 0 && len(args) > 0:
		return append(slices.Clone(t.Entrypoint), args...), nil
	case len(args) > 0:
		if t.stored == nil {
			t.What += "; the pod's args were run as its command"
		}
		return slices.Clone(args), nil
	case len(t.Entrypoint)+len(t.Cmd) > 0:
		return append(slices.Clone(t.Entrypoint), t.Cmd...), nil
	case t.stored != nil:
		return nil, fmt.Errorf("the image %q names no command, and neither does the pod", image)
	}
	return nil, fmt.Errorf("the image %q has no entrypoint here, as the host's own tools serve in its place: say in the pod's `command` what to run", image)
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

// imageName is the name as the pod has it.
func imageName(i *runtimeapi.ImageSpec) string {
	if i.GetUserSpecifiedImage() != "" {
		return i.GetUserSpecifiedImage()
	}
	return i.GetImage()
}

// report describes what serves in place of an image to the kubelet.
func (t Taken) report(names ...string) *runtimeapi.Image {
	if t.stored != nil {
		return reportStored(t.stored)
	}
	slices.Sort(names)
	return &runtimeapi.Image{
		Id: t.Ref, RepoTags: names, Size: 1, Pinned: true,
		Uid: &runtimeapi.Int64Value{Value: 0}, Spec: &runtimeapi.ImageSpec{Image: t.Ref},
	}
}

// reportStored describes an OCI image. The user is that of its containers, so
// that the kubelet judges runAsNonRoot by what will be.
func reportStored(i *image.Image) *runtimeapi.Image {
	out := &runtimeapi.Image{
		Id: i.ID, RepoTags: i.Names, RepoDigests: i.Digests, Size: uint64(max(i.Size, 1)), Pinned: i.Loaded,
		Spec: &runtimeapi.ImageSpec{Image: i.ID},
	}
	user, _, _ := strings.Cut(i.Config.User, ":")
	if !userExists(i) || user == "" {
		user = "0"
	}
	if uid, err := strconv.ParseInt(user, 10, 64); err == nil {
		out.Uid = &runtimeapi.Int64Value{Value: uid}
	} else {
		out.Username = user
	}
	return out
}

// ListImages lists what was asked for since the start, and the images on the disk.
func (s *Server) ListImages(_ context.Context, req *runtimeapi.ListImagesRequest) (*runtimeapi.ListImagesResponse, error) {
	resp := &runtimeapi.ListImagesResponse{}
	if only := req.GetFilter().GetImage().GetImage(); only != "" {
		taken, ok, err := s.lookUp(only)
		if err == nil && ok {
			resp.Images = append(resp.Images, taken.report(only))
		}
		return resp, err
	}
	resp.Images = s.answers.list()
	if s.cfg.Images != nil {
		for _, i := range s.cfg.Images.List() {
			resp.Images = append(resp.Images, reportStored(i))
		}
	}
	return resp, nil
}

// What the verbose [Server.ImageStatus] says beside the image, as [Server.Served] does.
const (
	InfoTaken = "taken"
	InfoOCI   = "oci"
)

// ImageStatus says whether an image is there or something stands for it.
func (s *Server) ImageStatus(ctx context.Context, req *runtimeapi.ImageStatusRequest) (*runtimeapi.ImageStatusResponse, error) {
	name := req.GetImage().GetImage()
	taken, ok, err := s.present(ctx, name)
	if status.Code(err) == codes.NotFound {
		err = nil // which the kubelet reads from an empty answer
	}
	if err != nil || !ok {
		return &runtimeapi.ImageStatusResponse{}, err
	}
	resp := &runtimeapi.ImageStatusResponse{Image: taken.report(name)}
	if req.GetVerbose() {
		resp.Info = map[string]string{InfoTaken: taken.What, InfoOCI: strconv.FormatBool(taken.stored != nil)}
	}
	return resp, nil
}

// PullImage fetches an image, or answers what serves in its place.
func (s *Server) PullImage(ctx context.Context, req *runtimeapi.PullImageRequest) (*runtimeapi.PullImageResponse, error) {
	a := req.GetAuth()
	taken, err := s.pull(ctx, req.GetImage().GetImage(), &image.Auth{
		Username: a.GetUsername(), Password: a.GetPassword(), Auth: a.GetAuth(), IdentityToken: a.GetIdentityToken(), RegistryToken: a.GetRegistryToken(),
	}, nil)
	if err != nil {
		return nil, err
	}
	return &runtimeapi.PullImageResponse{ImageRef: taken.Ref}, nil
}

// RemoveImage removes an image that no container has.
func (s *Server) RemoveImage(_ context.Context, req *runtimeapi.RemoveImageRequest) (*runtimeapi.RemoveImageResponse, error) {
	if s.cfg.Images == nil {
		return &runtimeapi.RemoveImageResponse{}, nil
	}
	i, ok := s.cfg.Images.Find(req.GetImage().GetImage())
	if !ok {
		return &runtimeapi.RemoveImageResponse{}, nil
	}
	_, err := s.removeStored(i)
	return &runtimeapi.RemoveImageResponse{}, err
}

// removeStored keeps new containers away while it looks whether there are any.
func (s *Server) removeStored(i *image.Image) (image.Removed, error) {
	s.cfg.Sharing.using.Lock()
	defer s.cfg.Sharing.using.Unlock()
	if err := s.unused(i.ID); err != nil {
		return image.Removed{}, err
	}
	return s.cfg.Images.Remove(i.ID)
}

func (s *Server) unused(id string) error {
	if user := s.cfg.Sharing.userOf(id); user != "" {
		return status.Errorf(codes.FailedPrecondition, "image %s is used by container %s", id, user)
	}
	return nil
}

// userOf names a container that runs, or is about to, in an image or with a volume of it. One that
// has ended needs it no more: its successor asks for the image anew.
func (s *Server) userOf(id string) string {
	ofIt := func(m mountRecord) bool { return m.Image == id }
	for _, c := range s.listContainers() {
		if (c.Taken.Ref == id || slices.ContainsFunc(c.Mounts, ofIt)) && c.look().state != runtimeapi.ContainerState_CONTAINER_EXITED {
			return c.Labels["io.kubernetes.pod.namespace"] + "/" + c.Labels["io.kubernetes.pod.name"] + " " + c.Name
		}
	}
	return ""
}

// ImageFsInfo reports on the file system that holds images and container
// roots. Both have one name, or the kubelet takes them for two disks.
func (s *Server) ImageFsInfo(context.Context, *runtimeapi.ImageFsInfoRequest) (*runtimeapi.ImageFsInfoResponse, error) {
	if _, err := os.Stat(s.cfg.StateDir); err != nil {
		return nil, fmt.Errorf("file system of images: %w", err)
	}
	usage := func(size, inodes int64) []*runtimeapi.FilesystemUsage {
		return []*runtimeapi.FilesystemUsage{{
			Timestamp: s.clock.Now().UnixNano(), FsId: &runtimeapi.FilesystemIdentifier{Mountpoint: s.cfg.StateDir},
			UsedBytes: u64(uint64(size)), InodesUsed: u64(uint64(inodes)),
		}}
	}
	var size, inodes int64
	if s.cfg.Images != nil {
		size, inodes = s.cfg.Images.Usage()
	}
	return &runtimeapi.ImageFsInfoResponse{ImageFilesystems: usage(size, inodes), ContainerFilesystems: usage(0, 0)}, nil
}

// RemoveImageNamed drops a name of an image, or with its last name or by its id the image.
func (s *Server) RemoveImageNamed(ref string) (image.Removed, error) {
	i, ok := s.cfg.Images.Find(ref)
	if !ok {
		return image.Removed{}, status.Errorf(codes.NotFound, "there is no image %s", ref)
	}
	full, err := image.Canonical(ref)
	if err == nil && slices.Contains(i.Names, full) {
		s.cfg.Sharing.using.Lock()
		defer s.cfg.Sharing.using.Unlock()
		return s.cfg.Images.Untag(full, s.unused)
	}
	return s.removeStored(i)
}

// PruneImages removes what nothing refers to; with all, also pulled images that no container runs in.
func (s *Server) PruneImages(all bool) (image.Removed, error) {
	s.cfg.Sharing.using.Lock()
	defer s.cfg.Sharing.using.Unlock()
	return s.cfg.Images.Prune(s.ImageInUse, all)
}

// ImageInUse tells whether a container runs in an image.
func (s *Server) ImageInUse(id string) bool { return s.cfg.Sharing.userOf(id) != "" }
