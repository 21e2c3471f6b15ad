package rest

import (
	"context"
	"strings"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/lineage"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
)

// createWithOrigin begins a run with what the platform knows of its pod, and
// with the files that the step agent handed over. Where these cannot be
// stored, the run begins all the same.
func (a *API) createWithOrigin(ctx context.Context, n store.NewRun) (model.Run, error) {
	if a.o.Origin == nil {
		return a.store.CreateRun(ctx, server.NamespaceOf(ctx), n)
	}
	var files []lineage.File
	n.Tags, files = lineage.Split(n.Tags, a.o.Origin(ctx))
	r, err := a.store.CreateRun(ctx, server.NamespaceOf(ctx), n)
	if err != nil {
		return r, err
	}
	root, ours := a.Proxied(r.ArtifactURI)
	for _, f := range files {
		if !ours {
			break
		}
		if err := a.keepFile(ctx, root+"/"+f.Path, f.Content); err != nil {
			a.o.Logger.WarnContext(ctx, "a file about the origin of a run was not stored", "run", r.ID, "file", f.Path, "error", err)
		}
	}
	return r, nil
}

// keepFile stores a file with its hash.
func (a *API) keepFile(ctx context.Context, file, content string) error {
	key, err := a.key(ctx, file)
	if err != nil {
		return err
	}
	_, _, err = a.write(ctx, place{a.o.Blobs, key}, strings.NewReader(content))
	return err
}
