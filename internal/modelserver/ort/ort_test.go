//go:build cgo

package ort

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/wire"
)

const library = "libonnxruntime.so.1.24.4"

var open = sync.OnceValues(func() (*Runtime, error) {
	candidates := []string{os.Getenv("KIWERK_ONNXRUNTIME"), filepath.Join("..", "..", "..", "bin", "lib", library)}
	if cache, err := os.UserCacheDir(); err == nil {
		candidates = append(candidates, filepath.Join(cache, "kiwerk", "onnxruntime", "1.24.4", library))
	}
	for _, path := range candidates {
		if _, err := os.Stat(path); path != "" && err == nil {
			return Open(path)
		}
	}
	return nil, errors.New("ONNX Runtime is not there; run make setup-onnxruntime")
})

func load(t testing.TB, name string) *Session {
	t.Helper()
	r, err := open()
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Load(filepath.Join("..", "testdata", name+".onnx"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestSession_Signature(t *testing.T) {
	want := wire.Signature{
		Inputs:  []wire.Spec{{Name: "pixels", Type: wire.Float32, Shape: []int64{-1, 4}}},
		Outputs: []wire.Spec{{Name: "label", Type: wire.Int64, Shape: []int64{-1}}, {Name: "probabilities", Type: wire.Float32, Shape: []int64{-1, 3}}},
	}
	if diff := cmp.Diff(want, load(t, "classifier").Signature()); diff != "" {
		t.Error(diff)
	}
}

// Every type goes in and comes out unchanged, with elements and without.
func TestSession_Run_everyType(t *testing.T) {
	s := load(t, "identity")
	for name, n := range map[string]int{"Empty": 0, "One": 1, "Many": 5} {
		t.Run(name, func(t *testing.T) {
			var inputs []wire.Tensor
			for _, spec := range s.Signature().Inputs {
				in := wire.Tensor{Name: spec.Name, Type: spec.Type, Shape: []int64{int64(n), 3}}
				if spec.Type == wire.Bytes {
					for i := range 3 * n {
						in.Strings = append(in.Strings, []byte(strings.Repeat("ä\x00", i)))
					}
				}
				for i := range 3 * n * spec.Type.Size() {
					in.Data = append(in.Data, byte(i%2)) // also valid as bool
				}
				inputs = append(inputs, in)
			}
			result, err := s.Run(t.Context(), inputs)
			if err != nil {
				t.Fatal(err)
			}
			defer result.Close()
			for i := range inputs {
				want := inputs[i]
				want.Name += "_out"
				if want.Type == wire.Bytes && want.Strings == nil {
					want.Strings = [][]byte{}
				}
				if diff := cmp.Diff(want, result.Outputs[i], cmp.Comparer(func(a, b []byte) bool { return string(a) == string(b) })); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestSession_Run_scalarOutput(t *testing.T) {
	data := binary.LittleEndian.AppendUint32(nil, math.Float32bits(1.5))
	data = binary.LittleEndian.AppendUint32(data, math.Float32bits(2))
	result, err := load(t, "scalar").Run(t.Context(), []wire.Tensor{{Name: "x", Type: wire.Float32, Shape: []int64{2}, Data: data}})
	if err != nil {
		t.Fatal(err)
	}
	defer result.Close()
	got := result.Outputs[0]
	if len(got.Shape) != 0 || math.Float32frombits(binary.LittleEndian.Uint32(got.Data)) != 3.5 {
		t.Errorf("got %+v", got)
	}
}

func TestSession_Run_noInputs(t *testing.T) {
	result, err := load(t, "constant").Run(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer result.Close()
	if got := binary.LittleEndian.Uint64(result.Outputs[0].Data[8:]); got != 5 {
		t.Errorf("got %d, want 5", got)
	}
}

func TestSession_Run_concurrently(t *testing.T) {
	s := load(t, "half_plus_two")
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 200 {
				x := float32(worker*1000 + i)
				in := wire.Tensor{Name: "x", Type: wire.Float32, Shape: []int64{1}, Data: binary.LittleEndian.AppendUint32(nil, math.Float32bits(x))}
				result, err := s.Run(t.Context(), []wire.Tensor{in})
				if err != nil {
					t.Error(err)
					return
				}
				if got := math.Float32frombits(binary.LittleEndian.Uint32(result.Outputs[0].Data)); got != x/2+2 {
					t.Errorf("got %v for %v", got, x)
				}
				result.Close()
			}
		})
	}
	group.Wait()
}

func rounds(n uint64) []wire.Tensor {
	return []wire.Tensor{{Name: "rounds", Type: wire.Int64, Shape: []int64{}, Data: binary.LittleEndian.AppendUint64(nil, n)}}
}

func TestSession_Run_endsWithItsContext(t *testing.T) {
	s := load(t, "slow")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := s.Run(ctx, rounds(1<<40))
		done <- err
	}()
	cancel()
	var e *wire.Error
	if err := <-done; !errors.As(err, &e) || e.Code != wire.DeadlineExceeded {
		t.Fatalf("got %v", err)
	}
	// What was stopped once can be used again.
	result, err := s.Run(t.Context(), rounds(1))
	if err != nil {
		t.Fatal(err)
	}
	result.Close()
}

func TestRuntime_Load_refuses(t *testing.T) {
	r, err := open()
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken.onnx")
	if err := os.WriteFile(broken, []byte("\x08\x0a\x3a\x02\x0a\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		filepath.Join("..", "testdata", "sequence.onnx"): "zipmap",
		broken:            "load model",
		"/does/not/exist": "doesn't exist",
	} {
		if _, err := r.Load(file, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", file, err, want)
		}
	}
}

func TestOpen_refuses(t *testing.T) {
	if _, err := Open("/does/not/exist.so"); err == nil || !strings.Contains(err.Error(), "/does/not/exist.so") {
		t.Errorf("got %v", err)
	}
	if _, err := Open("libc.so.6"); err == nil || !strings.Contains(err.Error(), "OrtGetApiBase") {
		t.Errorf("got %v", err)
	}
}

func BenchmarkSession_Run(b *testing.B) {
	s := load(b, "half_plus_two")
	in := []wire.Tensor{{Name: "x", Type: wire.Float32, Shape: []int64{1}, Data: make([]byte, 4)}}
	for b.Loop() {
		result, err := s.Run(b.Context(), in)
		if err != nil {
			b.Fatal(err)
		}
		result.Close()
	}
}
