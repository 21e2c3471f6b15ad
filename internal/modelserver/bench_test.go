//go:build cgo

package modelserver

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/modelserver/ort"
	"github.com/kiwerk/kiwerk/internal/wire"
)

// image is a photo as a tensor and as the bodies that carry it. Its numbers
// have the digits of a float, as clients send them.
func image() (tensor wire.Tensor, text, binaryBody []byte, head int) {
	const n = 3 * 224 * 224
	tensor = wire.Tensor{Name: "image", Type: wire.Float32, Shape: []int64{1, 3, 224, 224}}
	values := []byte{}
	for i := range n {
		f := float32(i*7919%255) / 255
		tensor.Data = binary.LittleEndian.AppendUint32(tensor.Data, math.Float32bits(f))
		if i > 0 {
			values = append(values, ',')
		}
		values = strconv.AppendFloat(values, float64(f), 'g', -1, 32)
	}
	text = fmt.Appendf(nil, `{"inputs":[{"name":"image","shape":[1,3,224,224],"datatype":"FP32","data":[%s]}]}`, values)
	binaryBody = fmt.Appendf(nil, `{"inputs":[{"name":"image","shape":[1,3,224,224],"datatype":"FP32","parameters":{"binary_data_size":%d}}],"parameters":{"binary_data_output":true}}`, 4*n)
	head = len(binaryBody)
	return tensor, text, append(binaryBody, tensor.Data...), head
}

// BenchmarkServer compares the CPU of a network of some milliseconds: in the
// library alone, behind the server as bytes, and behind the server as JSON. The
// client runs in the same process, so its part is measured too, with a server
// that only reads: subtract it.
func BenchmarkServer(b *testing.B) {
	library, err := (&config{library: "../../bin/lib/" + Library}).findLibrary()
	if err != nil {
		b.Fatal(err)
	}
	runtime, err := ort.Open(library)
	if err != nil {
		b.Fatal(err)
	}
	session, err := runtime.Load(filepath.Join("testdata", "convnet.onnx"), ort.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer session.Close()
	s := NewServer(ServerOptions{Name: "m", Version: "1", MaxBody: 64 << 20, Logger: slog.New(slog.DiscardHandler)})
	s.SetModel(session)
	h := httptest.NewServer(s)
	defer h.Close()
	tensor, text, binaryBody, head := image()
	// What client and network cost in themselves.
	nothing := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer nothing.Close()
	send := func(url string, body []byte, head int) {
		r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		if head > 0 {
			r.Header.Set(wire.HeaderLength, strconv.Itoa(head))
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			b.Fatalf("%d %v", resp.StatusCode, err)
		}
	}
	post := func(body []byte, head int) { send(h.URL+"/v2/models/m/infer", body, head) }
	for _, way := range []struct {
		name string
		once func()
	}{
		{"Library", func() {
			result, err := session.Run(b.Context(), []wire.Tensor{tensor})
			if err != nil {
				b.Fatal(err)
			}
			result.Close()
		}},
		{"Binary", func() { post(binaryBody, head) }},
		{"JSON", func() { post(text, 0) }},
		{"TransportOfBinary", func() { send(nothing.URL, binaryBody, 0) }},
		{"TransportOfJSON", func() { send(nothing.URL, text, 0) }},
	} {
		b.Run(way.name, func(b *testing.B) {
			way.once()
			before := cpuTime(b)
			for b.Loop() {
				way.once()
			}
			b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N)/1000, "cpu-ms/op")
		})
	}
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
