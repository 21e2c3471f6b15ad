//go:build !cgo

package ort

import (
	"context"
	"errors"

	"github.com/kiwerk/kiwerk/internal/wire"
)

var errNoCgo = errors.New("this program was built without cgo, which ONNX Runtime needs; build it with CGO_ENABLED=1 (make build)")

// Runtime stands for the library.
type Runtime struct{}

// Open says that cgo is missing.
func Open(string) (*Runtime, error) { return nil, errNoCgo }

// Load says that cgo is missing.
func (*Runtime) Load(string, Options) (*Session, error) { return nil, errNoCgo }

// Session stands for a loaded model.
type Session struct{}

// Signature is empty.
func (*Session) Signature() wire.Signature { return wire.Signature{} }

// Run says that cgo is missing.
func (*Session) Run(context.Context, []wire.Tensor) (*Result, error) { return nil, errNoCgo }

// Close does nothing.
func (*Session) Close() {}

// Result stands for the outputs of a run.
type Result struct{ Outputs []wire.Tensor }

// Close does nothing.
func (*Result) Close() {}
