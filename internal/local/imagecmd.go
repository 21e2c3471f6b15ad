//go:build linux

package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"google.golang.org/grpc/codes"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/cluster/fdsock"
	"github.com/kiwerk/kiwerk/internal/cluster/image"
	"github.com/kiwerk/kiwerk/internal/text"
)

// imageCommands are kiwerk image, asked of the running daemon.
func imageCommands(getenv func(string) string) cli.Images {
	return cli.Images{
		Load: func(ctx context.Context, s cli.Session, f *os.File, as string) (*cli.ImageList, error) {
			reply, err := askImages(ctx, s, getenv, imageRequest{Op: imageLoad, Name: as}, f)
			return reply.List, err
		},
		Pull: func(ctx context.Context, s cli.Session, ref string, login *cli.Login) (*cli.ImageList, error) {
			auth, err := credentials(ctx, ref, login)
			if err != nil {
				return nil, err
			}
			reply, err := askImages(ctx, s, getenv, imageRequest{Op: imagePull, Name: ref, Auth: auth})
			return reply.List, err
		},
		List: func(ctx context.Context, s cli.Session) (*cli.ImageList, error) {
			reply, err := askImages(ctx, s, getenv, imageRequest{Op: imageList})
			return reply.List, err
		},
		Show: func(ctx context.Context, s cli.Session, ref string) (*cli.Image, error) {
			reply, err := askImages(ctx, s, getenv, imageRequest{Op: imageList})
			if err != nil {
				return nil, err
			}
			return showImage(reply.List, ref)
		},
		Rm: func(ctx context.Context, s cli.Session, ref string) (*cli.ImagesRemoved, error) {
			reply, err := askImages(ctx, s, getenv, imageRequest{Op: imageRm, Name: ref})
			return reply.Removed, err
		},
		Prune: func(ctx context.Context, s cli.Session, all bool) (*cli.ImagesRemoved, error) {
			reply, err := askImages(ctx, s, getenv, imageRequest{Op: imagePrune, All: all})
			return reply.Removed, err
		},
	}
}

// askImages sends a command and prints what takes longer.
func askImages(ctx context.Context, s cli.Session, getenv func(string) string, r imageRequest, files ...*os.File) (imageReply, error) {
	dir, err := runtimeDir(s.DataDir, getenv)
	if err != nil {
		return imageReply{}, notRunning(s)
	}
	c, err := fdsock.Dial(filepath.Join(dir, imageSocket))
	if err != nil {
		return imageReply{}, notRunning(s)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // ends Recv, and the command with it
	defer stop()
	if err := c.Send(r, files...); err != nil {
		return imageReply{}, err
	}
	p := imageProgress{session: s, last: time.Now()}
	for {
		var reply imageReply
		_, err := c.Recv(&reply)
		switch {
		case ctx.Err() != nil:
			return imageReply{}, ctx.Err()
		case err != nil:
			return imageReply{}, errors.Join(notRunning(s), err)
		case reply.Progress != nil:
			p.tell(*reply.Progress, time.Now())
		case reply.Error != "":
			return imageReply{}, imageFailure(r, reply)
		default:
			return reply, nil
		}
	}
}

func imageFailure(r imageRequest, reply imageReply) error {
	f := &cli.Failure{What: text.S(text.ImageFailed, strings.TrimSpace("kiwerk image "+r.Op+" "+r.Name)), Cause: errors.New(reply.Error)}
	switch {
	case reply.Code == codes.NotFound && r.Op == imageRm:
		return &cli.Failure{Code: cli.ExitNotFound, What: text.S(text.ImageNotFound, r.Name), Try: try("kiwerk image list")}
	case reply.Code == codes.NotFound:
		f.Code = cli.ExitNotFound
	case reply.Code == codes.FailedPrecondition:
		f.What, f.Try = text.S(text.ImageInUse, r.Name), try("kiwerk status")
	case reply.Code == codes.Unavailable:
		f.Code = cli.ExitNotReady
	}
	return f
}

// imageProgress says how far a long command is, one line at a time.
type imageProgress struct {
	session cli.Session
	last    time.Time
}

// progressPause is between two lines, and before the first.
const progressPause = 2 * time.Second

func (p *imageProgress) tell(n image.Progress, now time.Time) {
	if p.session.Quiet || n.Known || now.Sub(p.last) < progressPause {
		return
	}
	p.last = now
	done := p.session.Text.Bytes(n.Bytes)
	if n.Total > 0 {
		done += " / " + p.session.Text.Bytes(n.Total)
	}
	fmt.Fprintln(p.session.Err, p.session.Text.T(text.ImageLayerBytes, n.Layer, n.Layers, done))
}

func showImage(l *cli.ImageList, ref string) (*cli.Image, error) {
	full, err := image.Canonical(ref)
	if err != nil {
		full = ref
	}
	const shortest = 7
	for _, i := range l.Items {
		id := strings.TrimPrefix(i.ID, "sha256:")
		given := strings.TrimPrefix(ref, "sha256:")
		if slices.Contains(i.Names, full) || slices.Contains(i.Digests, full) || len(given) >= shortest && strings.HasPrefix(id, given) {
			return &i, nil
		}
	}
	return nil, &cli.Failure{Code: cli.ExitNotFound, What: text.S(text.ImageNotFound, ref), Try: try("kiwerk image list")}
}

// credentials are those on the command line, else what docker login stored for the registry.
func credentials(ctx context.Context, ref string, login *cli.Login) (*image.Auth, error) {
	if login != nil {
		return &image.Auth{Username: login.User, Password: login.Password}, nil
	}
	r, err := name.ParseReference(ref, name.WeakValidation)
	if err != nil {
		return nil, &cli.Failure{Code: cli.ExitUsage, What: text.S(text.CommandUsage, err.Error()), Try: try("kiwerk image pull python:3.12-slim")}
	}
	found, err := authn.Resolve(ctx, authn.DefaultKeychain, r.Context())
	if err != nil {
		return nil, fmt.Errorf("credentials for %s: %w", r.Context().Registry, err)
	}
	a, err := authn.Authorization(ctx, found)
	if err != nil {
		return nil, fmt.Errorf("credentials for %s: %w", r.Context().Registry, err)
	}
	return &image.Auth{Username: a.Username, Password: a.Password, Auth: a.Auth, IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken}, nil
}
