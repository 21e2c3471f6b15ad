package modelserver

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSniff(t *testing.T) {
	onnx, err := os.ReadFile(filepath.Join("testdata", "classifier.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct{ data, want string }{
		"ONNX":        {string(onnx), ""},
		"Pickle":      {"\x80\x04\x95\x00\x00", "a Python pickle; Kiwerk never unpickles"},
		"Joblib":      {"\x78\x9c\x00\x00", "compressed by joblib"},
		"Zip":         {"PK\x03\x04rest", "a zip archive"},
		"Keras":       {"\x89HDF\r\n\x1a\nrest", "HDF5"},
		"Safetensors": {"\x10\x00\x00\x00\x00\x00\x00\x00{\"a\":1}            ", "safetensors"},
		"XGBoost":     {`{"learner":{}}`, "JSON"},
		"Page":        {"<!doctype html>", "HTML"},
		"TFLite":      {"\x18\x00\x00\x00TFL3", "TensorFlow Lite"},
		"Empty":       {"", "an empty file"},
		"Noise":       {"\xde\xad\xbe\xef", "unknown format"},
		"Cut":         {string(onnx[:len(onnx)-7]), "unknown format"},
		"NoGraph":     {"\x08\x0a", "unknown format"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := sniff(bytes.NewReader([]byte(c.data)), int64(len(c.data)), "file:///m")
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "file:///m is no ONNX model but") {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func FuzzSniff(f *testing.F) {
	f.Add([]byte("\x08\x0a\x3a\x02\x0a\x00"))
	f.Add([]byte("\x80\x04\x95"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_ = sniff(bytes.NewReader(b), int64(len(b)), "x")
	})
}

func FuzzOnnxData(f *testing.F) {
	f.Add([]byte("flavors:\n  onnx:\n    data: model.onnx\n"))
	f.Add([]byte("flavors:\n  sklearn: {}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if data, err := onnxData(b); err == nil && !filepath.IsLocal(data) {
			t.Errorf("%q leads out of the model", data)
		}
	})
}
