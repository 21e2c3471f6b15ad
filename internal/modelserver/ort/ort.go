//go:build cgo

package ort

/*
#cgo LDFLAGS: -ldl
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"github.com/kiwerk/kiwerk/internal/wire"
)

// Runtime is the loaded library.
type Runtime struct{ c *C.kw_runtime }

// Open loads the library. It stays loaded for the life of the program.
func Open(library string) (*Runtime, error) {
	path := C.CString(library)
	defer C.free(unsafe.Pointer(path))
	r := &Runtime{}
	var failure *C.char
	if kind := C.kw_open(path, &r.c, &failure); kind != C.KW_OK {
		return nil, fmt.Errorf("ONNX Runtime cannot be loaded from %s: %s", library, take(failure))
	}
	return r, nil
}

// take makes a Go string of a failure and frees it.
func take(failure *C.char) string {
	defer C.free(unsafe.Pointer(failure))
	return C.GoString(failure)
}

// Session is a loaded model. Run may be called by many goroutines at a time.
type Session struct {
	runtime   *Runtime
	c         *C.kw_session
	signature wire.Signature
	pool      sync.Pool // *call
}

// Load reads a model file; weights in files beside it are found there.
func (r *Runtime) Load(file string, o Options) (*Session, error) {
	path := C.CString(file)
	defer C.free(unsafe.Pointer(path))
	s := &Session{runtime: r}
	var failure *C.char
	if kind := C.kw_load(r.c, path, C.int(max(o.Threads, 1)), &s.c, &failure); kind != C.KW_OK {
		return nil, errors.New(take(failure))
	}
	var err error
	if s.signature.Inputs, err = specs("input", int(C.kw_inputs(s.c)), func(i int) *C.kw_spec { return C.kw_input_spec(s.c, C.size_t(i)) }); err == nil {
		s.signature.Outputs, err = specs("output", int(C.kw_outputs(s.c)), func(i int) *C.kw_spec { return C.kw_output_spec(s.c, C.size_t(i)) })
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func specs(what string, n int, get func(int) *C.kw_spec) ([]wire.Spec, error) {
	list := make([]wire.Spec, n)
	for i := range list {
		c := get(i)
		name := C.GoString(c.name)
		if c.is_tensor == 0 {
			return nil, fmt.Errorf("%s %q of the model is no tensor but a sequence or map, which inference protocols cannot carry; "+
				"export a scikit-learn classifier with options={'zipmap': False}", what, name)
		}
		typ, ok := fromONNX[int32(c._type)]
		if !ok {
			return nil, fmt.Errorf("%s %q of the model has ONNX element type %d, which inference protocols cannot carry", what, name, c._type)
		}
		shape := make([]int64, c.rank)
		for k := range shape {
			shape[k] = int64(c.dims[k])
		}
		list[i] = wire.Spec{Name: name, Type: typ, Shape: shape}
	}
	return list, nil
}

// Signature is what the model takes and gives.
func (s *Session) Signature() wire.Signature { return s.signature }

// Close frees the model. No Run may be under way.
func (s *Session) Close() { C.kw_unload(s.c) }

// call is the memory that one run needs on the border to C.
type call struct {
	in     []C.kw_input
	out    []C.kw_output
	stop   *C.kw_stop
	pinner runtime.Pinner
}

func (s *Session) call() (*call, error) {
	if c, ok := s.pool.Get().(*call); ok {
		return c, nil
	}
	c := &call{in: make([]C.kw_input, len(s.signature.Inputs)+1), out: make([]C.kw_output, len(s.signature.Outputs)+1)}
	var failure *C.char
	if kind := C.kw_stop_new(s.runtime.c, &c.stop, &failure); kind != C.KW_OK {
		return nil, errors.New(take(failure))
	}
	// The pool may forget a call at any time.
	r := s.runtime.c
	runtime.AddCleanup(c, func(stop *C.kw_stop) { C.kw_stop_free(r, stop) }, c.stop)
	return c, nil
}

// until ends the run of c when ctx ends. The function that it returns must be
// called after the run; only then may c be used again.
func (s *Session) until(ctx context.Context, c *call) func() {
	if ctx.Done() == nil {
		return func() {}
	}
	stopped := make(chan struct{})
	forget := context.AfterFunc(ctx, func() {
		C.kw_stop_now(s.runtime.c, c.stop)
		close(stopped)
	})
	return func() {
		if !forget() {
			<-stopped
			C.kw_stop_reset(s.runtime.c, c.stop)
		}
	}
}

// Run computes the outputs of inputs that are in the order of the signature.
// It gives up when ctx ends.
func (s *Session) Run(ctx context.Context, inputs []wire.Tensor) (*Result, error) {
	if len(inputs) != len(s.signature.Inputs) {
		return nil, wire.Errorf(wire.InvalidArgument, "%d inputs given, the model takes %d", len(inputs), len(s.signature.Inputs))
	}
	c, err := s.call()
	if err != nil {
		return nil, err
	}
	for i := range inputs {
		c.set(&c.in[i], &inputs[i])
	}
	var failure *C.char
	release := s.until(ctx, c)
	kind := C.kw_run(s.c, c.stop, &c.in[0], &c.out[0], &failure)
	release()
	runtime.KeepAlive(inputs)
	c.pinner.Unpin()
	clear(c.in)
	r := &Result{session: s, call: c}
	if kind != C.KW_OK {
		r.Close()
		text := take(failure)
		if ctx.Err() != nil {
			return nil, wire.Errorf(wire.DeadlineExceeded, "the model did not answer in time")
		}
		code := wire.Internal
		if kind == C.KW_INVALID_ARGUMENT {
			code = wire.InvalidArgument
		}
		return nil, wire.Errorf(code, "the model could not be run: %s", text)
	}
	r.Outputs = make([]wire.Tensor, len(s.signature.Outputs))
	for i := range r.Outputs {
		r.Outputs[i] = output(&c.out[i], s.signature.Outputs[i].Name)
	}
	return r, nil
}

// set describes a Go tensor to C. The memory is pinned until the run is over.
func (c *call) set(in *C.kw_input, t *wire.Tensor) {
	in._type, in.rank = C.int32_t(toONNX[t.Type]), C.int32_t(len(t.Shape))
	in.dims = (*C.int64_t)(pin(c, t.Shape))
	if t.Type != wire.Bytes {
		in.data, in.size = pin(c, t.Data), C.size_t(len(t.Data))
		return
	}
	var all []byte
	ends := make([]uint64, len(t.Strings))
	for i, s := range t.Strings {
		all = append(all, s...)
		ends[i] = uint64(len(all))
	}
	in.data, in.size, in.count = pin(c, all), C.size_t(len(all)), C.size_t(len(ends))
	in.ends = (*C.uint64_t)(pin(c, ends))
}

func pin[T any](c *call, s []T) unsafe.Pointer {
	if len(s) == 0 {
		return nil
	}
	c.pinner.Pin(&s[0])
	return unsafe.Pointer(&s[0])
}

// output shows a C tensor to Go without copying it; strings are copied.
func output(o *C.kw_output, name string) wire.Tensor {
	t := wire.Tensor{Name: name, Type: fromONNX[int32(o._type)], Shape: make([]int64, o.rank)}
	for k := range t.Shape {
		t.Shape[k] = int64(o.dims[k])
	}
	n := int(o.count)
	if t.Type != wire.Bytes {
		if n > 0 {
			t.Data = unsafe.Slice((*byte)(o.data), n*t.Type.Size())
		}
		return t
	}
	t.Strings = make([][]byte, n)
	start := uint64(0)
	for i, end := range unsafe.Slice((*uint64)(unsafe.Pointer(o.ends)), n) {
		t.Strings[i] = C.GoBytes(unsafe.Add(o.data, start), C.int(end-start))
		start = end
	}
	return t
}

// Result are the outputs of a run. Their data must not be used after Close.
type Result struct {
	Outputs []wire.Tensor

	session *Session
	call    *call
}

// Close gives the outputs' memory back to the library.
func (r *Result) Close() {
	C.kw_release(r.session.c, &r.call.out[0], C.size_t(len(r.session.signature.Outputs)))
	r.session.pool.Put(r.call)
	r.call, r.Outputs = nil, nil
}

// Element types by ONNX's numbers.
var (
	fromONNX = map[int32]wire.DataType{
		1: wire.Float32, 2: wire.Uint8, 3: wire.Int8, 4: wire.Uint16, 5: wire.Int16, 6: wire.Int32, 7: wire.Int64,
		8: wire.Bytes, 9: wire.Bool, 10: wire.Float16, 11: wire.Float64, 12: wire.Uint32, 13: wire.Uint64, 16: wire.BFloat16,
	}
	toONNX = func() map[wire.DataType]int32 {
		m := make(map[wire.DataType]int32, len(fromONNX))
		for k, v := range fromONNX {
			m[v] = k
		}
		return m
	}()
)
