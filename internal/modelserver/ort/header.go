//go:build onnxruntime_header

package ort

// The C header of ONNX Runtime (API version 24) lies in this module; nothing
// else of it is used. This file, never compiled, keeps the requirement in go.mod.
import _ "github.com/yalue/onnxruntime_go"
