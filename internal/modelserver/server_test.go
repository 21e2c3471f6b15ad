//go:build cgo

package modelserver

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// running is the program, in this process.
type running struct {
	url  string
	stop context.CancelFunc
	code chan int
	log  *output
}

// output keeps what the program logs and hands on the address that it listens on.
type output struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	ready chan string
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf.Write(b)
	for line := bufio.NewScanner(bytes.NewReader(b)); line.Scan(); {
		var entry struct{ Msg, Listen string }
		if json.Unmarshal(line.Bytes(), &entry) == nil && entry.Msg == "ready" {
			o.ready <- entry.Listen
		}
	}
	return len(b), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func launch(t *testing.T, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{stop: cancel, code: make(chan int, 1), log: &output{ready: make(chan string, 1)}}
	environment := map[string]string{}
	if lib, err := filepath.Abs(filepath.Join("..", "..", "bin", "lib", Library)); err == nil {
		if _, err := os.Stat(lib); err == nil {
			environment["KIWERK_ONNXRUNTIME"] = lib
		}
	}
	go func() {
		r.code <- Main(ctx, args, func(k string) string { return environment[k] }, r.log)
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case <-r.code:
		case r.code <- 0: // somebody has taken the code
		}
	})
	return r
}

func serve(t *testing.T, model string, args ...string) *running {
	t.Helper()
	file, err := filepath.Abs(filepath.Join("testdata", model+".onnx"))
	if err != nil {
		t.Fatal(err)
	}
	r := launch(t, append([]string{"--model-name=" + model, "--model-version=3", "--model-uri=file://" + file, "--listen=127.0.0.1:0", "--drain=100ms"}, args...)...)
	select {
	case address := <-r.log.ready:
		r.url = "http://" + address
	case code := <-r.code:
		t.Fatalf("ended with %d: %s", code, r.log)
	}
	return r
}

func (r *running) ask(t *testing.T, method, path, body string, header ...string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

func TestServer_answers(t *testing.T) {
	r := serve(t, "classifier", "--max-body-bytes=1000")
	const infer = `{"id":"a","inputs":[{"name":"pixels","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}]}`
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte(`{"instances":[[1,2,3,4]]}`))
	z.Close()
	cases := map[string]struct {
		method, path, body string
		header             []string
		status             int
		want               string
	}{
		"Alive":          {"GET", "/", "", nil, 200, `{"status":"alive"}`},
		"Live":           {"GET", "/v2/health/live", "", nil, 200, `{"live":true}`},
		"Ready":          {"GET", "/v2/health/ready", "", nil, 200, `{"ready":true}`},
		"Predict":        {"POST", "/v1/models/classifier:predict", `{"instances":[[1,2,3,4]]}`, nil, 200, `"label": `},
		"PredictVersion": {"POST", "/v1/models/classifier/versions/3:predict", `{"instances":[[1,2,3,4]]}`, nil, 200, `"probabilities": [`},
		"Gzip":           {"POST", "/v1/models/classifier:predict", packed.String(), []string{"Content-Encoding", "gzip"}, 200, `"label": `},
		"Empty":          {"POST", "/v1/models/classifier:predict", `{"inputs":{"pixels":[]}}`, nil, 400, `has shape [0], the model takes [-1,4]`},
		"WrongShape":     {"POST", "/v1/models/classifier:predict", `{"instances":[[1,2,3]]}`, nil, 400, `input \"pixels\" has shape [1,3], the model takes [-1,4]`},
		"WrongVersion":   {"POST", "/v1/models/classifier/versions/4:predict", `{}`, nil, 404, "Servable not found for request: Specific(classifier, 4)"},
		"UnknownModel":   {"POST", "/v1/models/other:predict", `{}`, nil, 404, "Servable not found for request: Latest(other)"},
		"Signature":      {"POST", "/v1/models/classifier:predict", `{"signature_name":"x","instances":[[1,2,3,4]]}`, nil, 400, `Serving signature name: \"x\" not found in signature def`},
		"BadJSON":        {"POST", "/v1/models/classifier:predict", `{`, nil, 400, "JSON Parse error"},
		"TooLarge":       {"POST", "/v1/models/classifier:predict", strings.Repeat(" ", 2000), nil, 413, "larger than 1000 bytes"},
		"BadGzip":        {"POST", "/v1/models/classifier:predict", "x", []string{"Content-Encoding", "gzip"}, 400, "cannot be read"},
		"Verb":           {"POST", "/v1/models/classifier:explain", `{}`, nil, 400, "Malformed request: POST /v1/models/classifier:explain"},
		"Status":         {"GET", "/v1/models/classifier", "", nil, 200, `"state": "AVAILABLE"`},
		"Metadata":       {"GET", "/v1/models/classifier/metadata", "", nil, 200, `"dtype": "DT_FLOAT"`},
		"Infer":          {"POST", "/v2/models/classifier/infer", infer, nil, 200, `{"model_name":"classifier","model_version":"3","id":"a","outputs":[{"name":"label","datatype":"INT64","shape":[1],"data":[`},
		"InferOutput":    {"POST", "/v2/models/classifier/infer", strings.TrimSuffix(infer, "}") + `,"outputs":[{"name":"none"}]}`, nil, 400, `unexpected inference output \"none\"`},
		"InferType":      {"POST", "/v2/models/classifier/infer", strings.Replace(infer, "FP32", "FP64", 1), nil, 400, "has datatype FP64, the model takes FP32"},
		"ModelMetadata":  {"GET", "/v2/models/classifier", "", nil, 200, `"platform":"onnx_onnxv1"`},
		"ModelReady":     {"GET", "/v2/models/classifier/versions/3/ready", "", nil, 200, `"ready":true`},
		"Models":         {"GET", "/v1/models", "", nil, 200, `{"models":["classifier"]}`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			status, body, header := r.ask(t, c.method, c.path, c.body, c.header...)
			if status != c.status || !strings.Contains(body, c.want) {
				t.Errorf("got %d %s, want %d with %q", status, body, c.status, c.want)
			}
			if header.Get("Content-Type") != "application/json" {
				t.Errorf("Content-Type %q", header.Get("Content-Type"))
			}
		})
	}
}

func TestServer_inferBinary(t *testing.T) {
	r := serve(t, "half_plus_two")
	head := `{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":8}}],"outputs":[{"name":"y","parameters":{"binary_data":true}}]}`
	// 149 is one byte less than the head has.
	status, body, header := r.ask(t, "POST", "/v2/models/half_plus_two/infer", head+"\x00\x00\x80\x3f\x00\x00\x00\x40", "Inference-Header-Content-Length", "149")
	if status != 400 {
		t.Errorf("a wrong header length was answered with %d %q", status, body)
	}
	status, body, header = r.ask(t, "POST", "/v2/models/half_plus_two/infer", head+"\x00\x00\x80\x3f\x00\x00\x00\x40", "Inference-Header-Content-Length", "150")
	if status != 200 || !strings.HasSuffix(body, "\x00\x00\x20\x40\x00\x00\x40\x40") || header.Get("Inference-Header-Content-Length") == "" || header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("got %d %q %v", status, body, header)
	}
}

// A request under way is answered, and so is one that comes while the server says that it goes.
func TestMain_drains(t *testing.T) {
	r := serve(t, "slow", "--concurrency=4", "--drain=4s") // enough for two requests on a busy machine
	answered := make(chan int, 1)
	go func() {
		// Several seconds of work, so that it is under way for certain.
		status, _, _ := r.ask(t, "POST", "/v1/models/slow:predict", `{"inputs":20000}`)
		answered <- status
	}()
	for {
		if status, _, _ := r.ask(t, "GET", "/v2/health/ready", ""); status == 200 {
			break
		}
	}
	r.stop()
	for {
		status, _, _ := r.ask(t, "GET", "/v2/health/ready", "")
		if status == http.StatusServiceUnavailable {
			break
		}
	}
	if status, body, _ := r.ask(t, "POST", "/v1/models/slow:predict", `{"inputs":1}`); status != 200 {
		t.Errorf("a request while draining: %d %s", status, body)
	}
	if status := <-answered; status != 200 {
		t.Errorf("the request under way was answered with %d", status)
	}
	if code := <-r.code; code != 0 {
		t.Errorf("ended with %d: %s", code, r.log)
	}
}

func TestMain_limitsTime(t *testing.T) {
	r := serve(t, "slow", "--request-timeout=50ms")
	if status, body, _ := r.ask(t, "POST", "/v1/models/slow:predict", `{"inputs":1000000000}`); status != http.StatusGatewayTimeout {
		t.Errorf("got %d %s", status, body)
	}
}

func TestMain_refuses(t *testing.T) {
	pickle := filepath.Join(t.TempDir(), "model.pkl")
	if err := os.WriteFile(pickle, []byte("\x80\x05\x95\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	last := filepath.Join(t.TempDir(), "termination-log")
	if err := os.WriteFile(last, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := launch(t, "--listen=127.0.0.1:0", "--model-uri=file://"+pickle, "--termination-log="+last)
	if code := <-r.code; code != 1 {
		t.Errorf("ended with %d", code)
	}
	b, err := os.ReadFile(last)
	if err != nil || !strings.Contains(string(b), "a Python pickle") || !strings.Contains(string(b), "skl2onnx") {
		t.Errorf("last words %q, %v", b, err)
	}
	for want, args := range map[string][]string{"--model-uri is required": nil, "unexpected argument": {"--model-uri=x", "y"}} {
		r := launch(t, args...)
		if code := <-r.code; code != 2 || !strings.Contains(r.log.String(), want) {
			t.Errorf("ended with %d: %s", code, r.log)
		}
	}
}

func TestMain_check(t *testing.T) {
	r := serve(t, "constant")
	for address, want := range map[string]int{strings.TrimPrefix(r.url, "http://"): 0, "127.0.0.1:1": 1} {
		if code := Main(t.Context(), []string{"--check", "--listen=" + address}, func(string) string { return "" }, io.Discard); code != want {
			t.Errorf("%s: %d, want %d", address, code, want)
		}
	}
}
