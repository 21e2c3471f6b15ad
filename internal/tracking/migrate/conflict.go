package migrate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
)

// ErrOccupied is a folder that holds something else under a number or a name of what is exported.
var ErrOccupied = errors.New("is in use in this folder")

// free refuses a folder in which the export would write over something else.
// Things are the same where they were created at the same time: names change.
func (x *exporter) free(ctx context.Context) error {
	there := &Files{fsys: os.DirFS(x.Dir)}
	ours, err := x.numbers(ctx)
	if err != nil {
		return err
	}
	if err := there.Experiments(ctx, ours.check); err != nil {
		return err
	}
	return x.Source.Registry(ctx, func(m store.Registered) error {
		if m.Namespace != x.Namespace {
			return nil
		}
		if err := there.same(path.Join("models", m.Name), m.Created); err != nil {
			return fmt.Errorf("registered model %q %w", m.Name, err)
		}
		for _, v := range m.Versions {
			if err := there.same(path.Join("models", m.Name, fmt.Sprintf("version-%d", v.Version)), v.Created); err != nil {
				return fmt.Errorf("version %d of registered model %q %w", v.Version, m.Name, err)
			}
		}
		return nil
	})
}

// exported are the experiments of an export.
type exported struct {
	byID   map[int64]model.Experiment
	byName map[string]int64
}

func (x *exporter) numbers(ctx context.Context) (exported, error) {
	o := exported{map[int64]model.Experiment{}, map[string]int64{}}
	return o, x.Source.Experiments(ctx, func(e model.Experiment) error {
		if e.Namespace == x.Namespace {
			o.byID[e.ID], o.byName[e.Name] = e, e.ID
		}
		return nil
	})
}

// check an experiment that is in the folder.
func (o exported) check(there model.Experiment) error {
	if e, ok := o.byID[there.ID]; ok {
		if e.Created != there.Created || e.Created == 0 && e.Name != there.Name {
			return fmt.Errorf("experiment %d %q: the number %w: experiment %q", e.ID, e.Name, ErrOccupied, there.Name)
		}
		return nil
	}
	if id, ok := o.byName[there.Name]; ok {
		return fmt.Errorf("experiment %d %q: the name %w: experiment %d", id, there.Name, ErrOccupied, there.ID)
	}
	return nil
}

// same refuses the folder of something that was created at another time. One
// that is not there or was begun only is free, and so is a version that was deleted.
func (f *Files) same(dir string, created int64) error {
	if !fs.ValidPath(dir) {
		return nil // it is left out, and told
	}
	m, err := f.meta(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	at, err := m.number("creation_timestamp")
	if err != nil || at == created || m.text("current_stage") == deleted {
		return err
	}
	return fmt.Errorf("%w by one that was created at another time", ErrOccupied)
}
