package mlwire_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
)

type inner struct {
	Key   string   `ml:"key,required"`
	Value *float64 `ml:"value,required"`
}

type page struct {
	Max int64 `ml:"max_results,required"`
}

// found has its fields from what it embeds.
type found struct {
	page
}

func TestCodec_embedded(t *testing.T) {
	for query, want := range map[string]int64{"max_results=3": 3, "": 0} {
		var got found
		err := mlwire.Codec{}.Decode(httptest.NewRequest(http.MethodGet, "/x?"+query, nil), &got)
		if got.Max != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %+v, %v", query, got, err)
		}
	}
}

type request struct {
	ID    string   `ml:"run_id,required"`
	UUID  string   `ml:"run_uuid"`
	Big   int64    `ml:"big_number"`
	On    *bool    `ml:"on"`
	Names []string `ml:"names"`
	List  []inner  `ml:"list"`
	F     float64  `ml:"f"`
}

func ptr[T any](v T) *T { return &v }

func decode(method, query, body string) (*request, error) {
	r := httptest.NewRequest(method, "/x?"+query, strings.NewReader(body))
	if method != http.MethodGet {
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	req := new(request)
	return req, mlwire.Codec{}.Decode(r, req)
}

func TestCodec_Decode(t *testing.T) {
	cases := map[string]struct {
		method, query, body string
		want                *request
		fault               string
	}{
		"Body":         {"POST", "", `{"run_id":"a","big_number":9007199254740993,"names":["x","y"],"list":[{"key":"k","value":1}]}`, &request{ID: "a", Big: 9007199254740993, Names: []string{"x", "y"}, List: []inner{{"k", ptr(1.0)}}}, ""},
		"Camel":        {"POST", "", `{"runId":"a","bigNumber":"12"}`, &request{ID: "a", Big: 12}, ""},
		"Both":         {"POST", "", `{"run_id":"a","runId":"b"}`, nil, "specifies both 'run_id' and 'runId'"},
		"Strings":      {"POST", "", `{"run_id":"a","big_number":"-3.0","f":"1e-3"}`, &request{ID: "a", Big: -3, F: 1e-3}, ""},
		"Infinity":     {"POST", "", `{"run_id":"a","f":"-Infinity"}`, &request{ID: "a", F: math.Inf(-1)}, ""},
		"OldName":      {"POST", "", `{"run_uuid":"a"}`, &request{ID: "a", UUID: "a"}, ""},
		"Double":       {"POST", "", `"{\"run_id\":\"a\"}"`, &request{ID: "a"}, ""},
		"Unknown":      {"POST", "", `{"run_id":"a","future":{"x":[1]},"on":null}`, &request{ID: "a"}, ""},
		"Query":        {"GET", "run_id=a&names=x&names=y&on=TRUE&big_number=7", "", &request{ID: "a", Names: []string{"x", "y"}, On: ptr(true), Big: 7}, ""},
		"GetWithBody":  {"GET", "", `{"run_id":"a"}`, &request{ID: "a"}, ""},
		"BadBool":      {"GET", "run_id=a&on=1", "", nil, "Invalid boolean value: 1"},
		"Missing":      {"POST", "", `{"run_id":""}`, nil, "Missing value for required parameter 'run_id'"},
		"NestedAbsent": {"POST", "", `{"run_id":"a","list":[{"key":"k","value":1},{"key":"k"}]}`, nil, "required parameter 'list[1].value'"},
		"Malformed":    {"POST", "", `{"run_id":`, nil, "not valid JSON"},
		"Trailing":     {"POST", "", `{"run_id":"a"}{}`, nil, "behind the end"},
		"NotAnObject":  {"POST", "", `[1]`, nil, "must be a JSON object, got a list"},
		"WrongType":    {"POST", "", `{"run_id":5}`, nil, "Invalid value 5 for parameter 'run_id' supplied:  Hint: Value was of type 'int'"},
		"NestedType":   {"POST", "", `{"run_id":"a","list":[{"key":"k","value":true}]}`, nil, "parameter 'list[0].value' supplied:  Hint: Value was of type 'bool'"},
		"Fraction":     {"POST", "", `{"run_id":"a","big_number":1.5}`, nil, "type 'float'"},
		"TooBig":       {"POST", "", `{"run_id":"a","big_number":1e19}`, nil, "big_number"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := decode(c.method, c.query, c.body)
			if c.fault != "" {
				e := server.AsError(err)
				if e.Status != 400 || !strings.Contains(e.Message, c.fault) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCodec_Error(t *testing.T) {
	cases := map[string]struct {
		err    error
		status int
		code   string
	}{
		"Public":   {server.Errorf(404, "RESOURCE_DOES_NOT_EXIST", "no"), 404, "RESOURCE_DOES_NOT_EXIST"},
		"TooLarge": {&http.MaxBytesError{Limit: 1 << 20}, 400, "INVALID_PARAMETER_VALUE"},
		"DiskFull": {server.Errorf(507, "INSUFFICIENT_STORAGE", "full"), 507, "RESOURCE_EXHAUSTED"},
		"Internal": {http.ErrBodyNotAllowed, 500, "INTERNAL_ERROR"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			mlwire.Codec{}.Error(w, nil, c.err)
			var body map[string]string
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Fatal(err)
			}
			if w.Code != c.status || body["error_code"] != c.code || body["message"] == "" {
				t.Errorf("%d %v", w.Code, body)
			}
		})
	}
}

func TestWriter(t *testing.T) {
	var w mlwire.Writer
	w.Begin()
	w.Str("text", "Grüße \"\\\n\x01😀\xff")
	w.OptStr("nothing", "")
	w.Int("int", math.MinInt64)
	for _, f := range []float64{1, 0.1, 1e16, 123456789012345680, 1e-5, 0.0001, math.Copysign(0, -1), math.NaN(), math.Inf(1)} {
		w.Float(strconv.FormatFloat(f, 'g', 2, 64), f)
	}
	w.Name("empty")
	w.Begin()
	w.End()
	w.Strings("list", []string{"a", "b"})
	w.End()
	// The numbers are as Python's json prints them.
	want := `{
  "text": "Gr\u00fc\u00dfe \"\\\n\u0001\ud83d\ude00\ufffd",
  "int": -9223372036854775808,
  "1": 1.0,
  "0.1": 0.1,
  "1e+16": 1e+16,
  "1.2e+17": 1.2345678901234568e+17,
  "1e-05": 1e-05,
  "0.0001": 0.0001,
  "-0": -0.0,
  "NaN": "NaN",
  "+Inf": "Infinity",
  "empty": {},
  "list": [
    "a",
    "b"
  ]
}`
	if diff := cmp.Diff(want, string(w.Bytes())); diff != "" {
		t.Error(diff)
	}
}

func FuzzWriter(f *testing.F) {
	f.Add("", 0.0)
	f.Add("ä\x00\"", 1e-7)
	f.Fuzz(func(t *testing.T, s string, v float64) {
		var w mlwire.Writer
		w.Begin()
		w.Str("s", s)
		w.Float("v", v)
		w.End()
		var got struct {
			S string `json:"s"`
			V any    `json:"v"`
		}
		if err := json.Unmarshal(w.Bytes(), &got); err != nil {
			t.Fatalf("%v: %s", err, w.Bytes())
		}
		if utf8.ValidString(s) && got.S != s {
			t.Errorf("%q became %q", s, got.S)
		}
		if n, ok := got.V.(float64); ok && n != v {
			t.Errorf("%v became %v", v, n)
		}
	})
}

func FuzzCodec_Decode(f *testing.F) {
	f.Add(`{"run_id":"a","list":[{"key":"k","value":"NaN"}]}`)
	f.Add(`"{\"run_id\":1}"`)
	f.Add(`{"run_id":"a","names":[null],"big_number":"9223372036854775808"}`)
	f.Fuzz(func(t *testing.T, body string) {
		_, err := decode("POST", "", body)
		if err != nil && server.AsError(err).Status != 400 {
			t.Errorf("%q: %v", body, err)
		}
	})
}

func FuzzScanner_Float(f *testing.F) {
	for _, s := range []string{"0", "-0", "0.1", "1e5", "123456789012345", "1234567890123456", "01", "1.", ".5", "-", "9e999", "0.30000000000000004"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		scanner := mlwire.NewScanner([]byte(s))
		got, ok := scanner.Float()
		if !ok || !scanner.End() || strings.HasPrefix(strings.TrimSpace(s), `"`) {
			return
		}
		var want float64
		if err := json.Unmarshal([]byte(s), &want); err != nil || got != want {
			t.Errorf("%q: got %v, encoding/json %v, %v", s, got, want, err)
		}
	})
}

// TestCodec_logsCauses and not what upstream calls an internal error for a mistake of the caller's.
func TestCodec_logsCauses(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		logs bool
	}{
		"Fault":   {errors.New("disk on fire"), true},
		"Mistake": {server.Errorf(http.StatusInternalServerError, "INTERNAL_ERROR", "not a valid remote uri"), false},
		"State":   {server.Errorf(http.StatusInternalServerError, "INVALID_STATE", "another key"), true},
	} {
		var log strings.Builder
		codec := mlwire.Codec{Log: slog.New(slog.NewTextHandler(&log, nil))}
		w := httptest.NewRecorder()
		codec.Error(w, httptest.NewRequest(http.MethodPost, "/x", nil), c.err)
		if w.Code != http.StatusInternalServerError || (log.Len() > 0) != c.logs {
			t.Errorf("%s: %d, log %q", name, w.Code, log.String())
		}
	}
}
