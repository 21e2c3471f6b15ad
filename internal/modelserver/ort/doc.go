// Package ort runs ONNX models with the ONNX Runtime library, through a small
// C shim of our own over its C API.
//
//	Open(library) ─ Runtime.Load(file) ─ Session.Run(tensors) ─ Result ─ Close
//
// The library is loaded when the program runs (dlopen), so the program itself
// needs only libc. Inputs are read where Go has them and outputs where the
// library has them, until the Result is closed: no copy in either direction.
// Tensors of every rank from 0 on, without elements, of all types that the
// inference protocols carry, and models without inputs work. The library's
// threads do not spin: on a shared machine that costs more than the inference.
//
// Without cgo the package compiles and Open says so.
package ort
