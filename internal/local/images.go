//go:build linux

package local

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/cluster/cri"
	"github.com/kiwerk/kiwerk/internal/cluster/fdsock"
	"github.com/kiwerk/kiwerk/internal/cluster/image"
)

const (
	// imagesDir is the store of images in the data directory.
	imagesDir = "images"
	// imageSocket is where kiwerk image finds the daemon.
	imageSocket = "images.sock"
)

// imageRequest is one command of kiwerk image. The file to load travels with it.
type imageRequest struct {
	Op   string
	Name string      `json:",omitempty"`
	All  bool        `json:",omitempty"`
	Auth *image.Auth `json:",omitempty"`
}

// Operations of an imageRequest.
const (
	imageLoad  = "load"
	imagePull  = "pull"
	imageList  = "list"
	imageRm    = "rm"
	imagePrune = "prune"
)

// imageReply is news of a command; the last one has an error or a result.
type imageReply struct {
	Progress *image.Progress    `json:",omitempty"`
	Error    string             `json:",omitempty"`
	Code     codes.Code         `json:",omitempty"`
	List     *cli.ImageList     `json:",omitempty"`
	Removed  *cli.ImagesRemoved `json:",omitempty"`
}

// imageServer answers kiwerk image.
type imageServer struct {
	pods   *cri.Server
	store  *image.Store
	mode   cri.ImageMode
	socket string
	listen *fdsock.Listener
	cancel context.CancelFunc
	tasks  sync.WaitGroup
}

// openImages opens the store. Registries are reached from the host's network,
// where a user's own may listen on loopback.
func (d *daemon) openImages() (*image.Store, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // The standard library's is one.
	transport.ResponseHeaderTimeout = 30 * time.Second
	if d.network != nil {
		transport.DialContext = d.network.host.DialContext
	}
	return image.Open(image.Options{Dir: filepath.Join(d.job.DataDir, imagesDir), Transport: plainOnLoopback{untilStalled{transport, pullStall}}, Clock: d.clock})
}

// Start listens.
func (s *imageServer) Start(ctx context.Context) error {
	l, err := fdsock.Listen(s.socket)
	if err != nil {
		return fmt.Errorf("socket for images: %w", err)
	}
	s.listen = l
	ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.tasks.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			s.tasks.Go(func() { s.serve(ctx, c) })
		}
	})
	return nil
}

// Stop ends what is going on; a pull goes on with its next layer another time.
func (s *imageServer) Stop() error {
	if s == nil || s.listen == nil {
		return nil
	}
	s.cancel()
	err := s.listen.Close()
	s.tasks.Wait()
	s.store.Close()
	return err
}

// serve carries out one command. A client that goes takes it with it.
func (s *imageServer) serve(ctx context.Context, c *fdsock.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // ends Recv
	defer stop()
	var r imageRequest
	files, err := c.Recv(&r)
	defer fdsock.CloseAll(files)
	if err != nil {
		return
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		var next imageRequest
		more, _ := c.Recv(&next) // nothing comes but the end
		fdsock.CloseAll(more)
		cancel()
	}()
	reply, err := s.do(ctx, r, files, func(p image.Progress) {
		_ = c.Send(imageReply{Progress: &p}) // a client that is gone cancels ctx
	})
	if err != nil {
		reply = imageReply{Error: grpcstatus.Convert(err).Message(), Code: imageErrorCode(err)}
	}
	_ = c.Send(reply) // it may be gone
	cancel()
	<-gone
}

func imageErrorCode(err error) codes.Code {
	switch {
	case errors.Is(err, image.ErrRefused):
		return codes.NotFound
	case errors.Is(err, image.ErrUnreachable):
		return codes.Unavailable
	}
	return grpcstatus.Code(err)
}

func (s *imageServer) do(ctx context.Context, r imageRequest, files []*os.File, tell func(image.Progress)) (imageReply, error) {
	switch r.Op {
	case imageList:
		return s.reply(s.store.List()), nil
	case imageLoad:
		if len(files) != 1 {
			return imageReply{}, fmt.Errorf("%d files came, expected 1", len(files))
		}
		list, err := s.store.Load(ctx, files[0], r.Name, tell)
		return s.reply(list), err
	case imagePull:
		i, err := s.store.Pull(ctx, r.Name, r.Auth, tell)
		if err != nil {
			return imageReply{}, err
		}
		return s.reply([]*image.Image{i}), nil
	case imageRm:
		removed, err := s.pods.RemoveImageNamed(r.Name)
		return removedReply(removed), err
	case imagePrune:
		removed, err := s.pods.PruneImages(r.All)
		return removedReply(removed), err
	}
	return imageReply{}, fmt.Errorf("unknown command %q; do program and platform have the same version?", r.Op)
}

func removedReply(r image.Removed) imageReply {
	out := cli.ImagesRemoved{Images: r.Images, Layers: r.Layers, Bytes: r.Bytes}
	if out.Images == nil {
		out.Images = []string{}
	}
	return imageReply{Removed: &out}
}

func (s *imageServer) reply(list []*image.Image) imageReply {
	size, _ := s.store.Usage()
	out := &cli.ImageList{Items: []cli.Image{}, Bytes: size, Mode: string(s.mode)}
	for _, i := range list {
		out.Items = append(out.Items, s.describe(i))
	}
	return imageReply{List: out}
}

func (s *imageServer) describe(i *image.Image) cli.Image {
	source := image.SourcePull
	if i.Loaded {
		source = image.SourceLoad
	}
	c := i.Config
	return cli.Image{
		ID: i.ID, Names: orEmpty(i.Names), Digests: orEmpty(i.Digests), Bytes: i.Size, Created: c.Created, Added: i.Added, Source: source,
		InUse: s.pods.ImageInUse(i.ID), Layers: i.Layers, Architecture: c.Architecture, Entrypoint: c.Entrypoint, Cmd: c.Cmd, Env: c.Env,
		User: c.User, WorkingDir: c.WorkingDir, Volumes: c.Volumes, Ports: c.ExposedPorts, StopSignal: c.StopSignal, Labels: c.Labels,
	}
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
