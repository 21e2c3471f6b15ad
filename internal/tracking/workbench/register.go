package workbench

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/tracking/client"
)

// modelFile is what each model of MLflow has.
const modelFile = "MLmodel"

// NoModelError: where a model should lie is none.
type NoModelError struct {
	Run, Path string
	// Address of the folder that was looked in.
	Address string
	// Files are what lies there, Models the logged models of the run that could be meant.
	Files, Models []string
}

// Error says where none is.
func (e *NoModelError) Error() string { return "run " + e.Run + " has no model at " + e.Path }

// FromRun finds the model that a run has at a path: a folder with a file
// MLmodel among its artifacts, else the logged model of that name.
func FromRun(ctx context.Context, c *client.Client, run client.Run, folder string) (v client.NewVersion, err error) {
	folder = strings.Trim(path.Clean("/"+folder), "/")
	missing := &NoModelError{Run: run.Info.ID, Path: folder, Address: strings.TrimSuffix(run.Info.ArtifactURI, "/") + "/" + folder}
	files, err := c.List(ctx, client.RunFolder(run.Info), folder)
	if err != nil && !client.IsNotFound(err) && !errors.Is(err, client.ErrElsewhere) {
		return v, err
	}
	for _, f := range files {
		if !f.Folder && path.Base(f.Path) == modelFile {
			return client.NewVersion{Source: missing.Address, RunID: run.Info.ID}, nil
		}
		missing.Files = append(missing.Files, f.Path)
	}
	var named []client.LoggedModel
	logged, err := Logged(ctx, c, run)
	if err != nil {
		return v, err
	}
	for _, m := range logged {
		missing.Models = append(missing.Models, m.Info.ID)
		if m.Info.Name == folder {
			named = append(named, m)
		}
	}
	slices.Sort(missing.Models)
	if len(named) != 1 {
		return v, missing
	}
	return client.NewVersion{Source: named[0].Info.ArtifactURI, RunID: run.Info.ID, ModelID: named[0].Info.ID}, nil
}
