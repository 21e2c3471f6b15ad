package devices

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
	"github.com/kiwerk/kiwerk/internal/cluster/devices/sharing"
)

// hanging is a driver that knows its GPUs and then says no more.
type hanging struct{ gpu.Driver }

func (hanging) System(context.Context) (gpu.System, error) { return gpu.System{}, nil }

func (hanging) Samples(ctx context.Context) ([]gpu.Sample, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestManager_driverHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := New(t.Context(), Config{Driver: hanging{}, Sharing: sharing.Default(), Logger: slog.New(slog.DiscardHandler), Clock: clock.RealClock{}})
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		m.observe(t.Context())
		if took := time.Since(begun); took != DriverPatience {
			t.Errorf("a look took %s", took)
		}
	})
}
