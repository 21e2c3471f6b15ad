package modelserver

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

// foreignFormatError describes a file that is something else, and what to do.
type foreignFormatError struct{ file, what, remedy string }

func (e *foreignFormatError) Error() string {
	return fmt.Sprintf("%s is no ONNX model but %s; %s", e.file, e.what, e.remedy)
}

const (
	convertPickle = "Kiwerk never unpickles models, because that runs whatever code is in them: convert it where it was trained " +
		"(scikit-learn: skl2onnx.to_onnx, XGBoost and LightGBM: onnxmltools) and log it with mlflow.onnx.log_model"
	convertTorch = "export it with torch.onnx.export(model, args, dynamo=True) and log it with mlflow.onnx.log_model"
	convertKeras = "convert it with tf2onnx and log it with mlflow.onnx.log_model"
	convertAny   = "export the model as ONNX"
)

// Known beginnings of files that people take for models.
var signatures = []struct {
	offset       int
	magic        string
	what, remedy string
}{
	{0, "PK\x03\x04", "a zip archive (PyTorch, Keras and TorchServe save such)", convertTorch},
	{0, "\x89HDF\r\n\x1a\n", "an HDF5 file (Keras saves such)", convertKeras},
	{4, "TFL3", "a TensorFlow Lite model", convertKeras},
	{0, "\x1f\x8b", "a gzip archive (perhaps a compressed pickle)", convertPickle},
	{0, "BZh", "a bzip2 archive (perhaps a compressed pickle)", convertPickle},
	{0, "\xfd7zXZ\x00", "an xz archive (perhaps a compressed pickle)", convertPickle},
	{0, "ZF", "a pickle compressed by joblib", convertPickle},
	{0, "\x78\x9c", "a pickle compressed by joblib", convertPickle},
	{0, "\x78\x01", "a pickle compressed by joblib", convertPickle},
	{0, "\x78\xda", "a pickle compressed by joblib", convertPickle},
	{0, "ORTM", "a model in ONNX Runtime's own format", "serve the .onnx file that it was made from"},
	{0, "GGUF", "a GGUF model", convertAny},
	{0, "<", "an XML or HTML page", "check the address: it should give the bytes of the model"},
	{0, "{", "a JSON text (XGBoost saves such)", "convert it with onnxmltools and log it with mlflow.onnx.log_model"},
	{0, "version https://git-lfs", "a Git LFS pointer", "fetch the real file with git lfs pull"},
	{0, "tree\n", "a LightGBM text model", "convert it with onnxmltools and log it with mlflow.onnx.log_model"},
}

// checkONNX reads just enough of a file to tell whether it is an ONNX model.
func checkONNX(path, shown string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return sniff(f, info.Size(), shown)
}

func sniff(f io.ReaderAt, size int64, shown string) error {
	head := make([]byte, min(size, 64))
	if _, err := f.ReadAt(head, 0); err != nil && err != io.EOF {
		return err
	}
	if len(head) == 0 {
		return &foreignFormatError{shown, "an empty file", "check how it was written"}
	}
	if head[0] == 0x80 && len(head) > 1 && 2 <= head[1] && head[1] <= 5 {
		return &foreignFormatError{shown, "a Python pickle", convertPickle}
	}
	for _, s := range signatures {
		if len(head) >= s.offset && bytes.HasPrefix(head[s.offset:], []byte(s.magic)) {
			return &foreignFormatError{shown, s.what, s.remedy}
		}
	}
	if len(head) > 9 && head[8] == '{' && binary.LittleEndian.Uint64(head) < uint64(size) {
		return &foreignFormatError{shown, "a safetensors file, which has weights but no computation", convertTorch}
	}
	if !looksLikeModelProto(f, size) {
		return &foreignFormatError{shown, "a file of unknown format", convertAny}
	}
	return nil
}

// Field numbers of ONNX's ModelProto and whether they hold bytes (else a varint).
var modelProto = map[uint64]bool{1: false, 2: true, 3: true, 4: true, 5: false, 6: true, 7: true, 8: true, 14: true, 20: true, 25: true, 26: true}

const fieldGraph = 7

// looksLikeModelProto walks over the top-level fields without reading their contents.
func looksLikeModelProto(f io.ReaderAt, size int64) bool {
	graph := false
	for at := int64(0); at < size; {
		tag, n := varint(f, at)
		at += n
		isBytes, known := modelProto[tag>>3]
		if n == 0 || !known || isBytes != (tag&7 == 2) || !isBytes && tag&7 != 0 {
			return false
		}
		value, n := varint(f, at)
		at += n
		if n == 0 {
			return false
		}
		if isBytes {
			if value > uint64(size-at) {
				return false
			}
			at += int64(value)
		}
		graph = graph || tag>>3 == fieldGraph
	}
	return graph
}

// varint reads a number and returns how many bytes it took; 0 for none.
func varint(f io.ReaderAt, at int64) (value uint64, length int64) {
	var b [binary.MaxVarintLen64]byte
	n, err := f.ReadAt(b[:], at)
	if err != nil && err != io.EOF {
		return 0, 0
	}
	value, used := binary.Uvarint(b[:n])
	return value, int64(max(used, 0))
}
