package mlwire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/kiwerk/kiwerk/internal/server"
)

// Codec implements server.Codec for MLflow's API.
type Codec struct {
	// Log hears the causes of internal errors, which callers do not. Nil is silence.
	Log *slog.Logger
}

var _ server.Codec = Codec{}

// FastDecoder is a request that can read its usual form quicker. It returns
// false for anything unusual, and the general way is taken then.
type FastDecoder interface{ DecodeFast(body []byte) bool }

// FromPath is a request that takes values from the path.
type FromPath interface{ FromPath(r *http.Request) }

// Checked is a request that says whether its fields go together, before anybody
// looks for what they name.
type Checked interface{ Check() error }

// Error codes of the API that are used here.
const (
	CodeInvalid     = "INVALID_PARAMETER_VALUE"
	codeBadRequest  = "BAD_REQUEST"
	codeExhausted   = "RESOURCE_EXHAUSTED"
	codeNoEndpoint  = "ENDPOINT_NOT_FOUND"
	contentTypeJSON = "application/json"
)

// Decode implements server.Codec.
func (Codec) Decode(r *http.Request, req any) error {
	if err := decode(r, req); err != nil {
		return err
	}
	if f, ok := req.(FromPath); ok {
		f.FromPath(r)
	}
	if err := require(req); err != nil {
		return err
	}
	if c, ok := req.(Checked); ok {
		return c.Check()
	}
	return nil
}

func decode(r *http.Request, req any) error {
	if q := r.URL.Query(); r.Method == http.MethodGet && len(q) > 0 {
		return setQuery(req, q)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return nil
	}
	if r.Method != http.MethodGet {
		if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != contentTypeJSON {
			return server.Errorf(http.StatusBadRequest, CodeInvalid,
				"Bad Request. Content-Type must be one of ['application/json']. It is %q.", r.Header.Get("Content-Type"))
		}
	}
	if f, ok := req.(FastDecoder); ok && f.DecodeFast(body) {
		return nil
	}
	return setBody(req, body)
}

// Unmarshal fills a request from a JSON object, as from the body of a POST.
func Unmarshal(body []byte, req any) error {
	if err := setBody(req, body); err != nil {
		return err
	}
	return require(req)
}

func setBody(req any, body []byte) error {
	var v any
	err := ReadValue(body, &v)
	if s, ok := v.(string); ok && err == nil {
		err = ReadValue([]byte(s), &v) // old clients encode twice
	}
	if err != nil {
		// Upstream takes a broken body for an empty one, which then lacks something.
		missing := require(req)
		if missing == nil {
			return invalid("The request body is not valid JSON: %v.", err)
		}
		return invalid("%s The request body is not valid JSON: %v.", server.AsError(missing).Message, err)
	}
	if v == nil {
		return nil
	}
	object, ok := v.(map[string]any)
	if !ok {
		return invalid("The request body must be a JSON object, got a %s.", kindOf(v))
	}
	return setObject(req, object)
}

// ReadValue reads one JSON value and keeps numbers as they are written.
func ReadValue(b []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(to); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something behind the end of the value")
	}
	return nil
}

var writers = sync.Pool{New: func() any { return new(Writer) }}

// maxKept bounds the memory that an idle writer holds on to.
const maxKept = 4 << 20

// Encode implements server.Codec.
func (Codec) Encode(w http.ResponseWriter, _ *http.Request, resp any) {
	Write(w, http.StatusOK, resp.(Appender)) //nolint:forcetypeassert // Every response type of the routes is one; a test walks them.
}

// Write sends a message with a status.
func Write(w http.ResponseWriter, status int, v Appender) {
	buf := writers.Get().(*Writer) //nolint:forcetypeassert // The pool holds nothing else.
	buf.Reset()
	v.AppendJSON(buf)
	w.Header().Set("Content-Type", contentTypeJSON)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", strconv.Itoa(len(buf.Bytes()))) // else it travels in chunks
	w.WriteHeader(status)
	_, _ = w.Write(buf.Bytes()) // the client has gone; there is nobody to tell
	if cap(buf.buf) <= maxKept {
		writers.Put(buf)
	}
}

// Error implements server.Codec.
func (c Codec) Error(w http.ResponseWriter, r *http.Request, err error) {
	e := server.AsError(err)
	answered := e.Code == "INTERNAL_ERROR" && e.Cause == nil // upstream's status for a mistake of the caller's
	var told interface{ Told() bool }                        // an outage, which the store logs when it begins
	if e.Status >= http.StatusInternalServerError && !answered && e.Status != http.StatusNotImplemented && c.Log != nil && r.Context().Err() == nil && !errors.As(err, &told) {
		c.Log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "status", e.Status, "error", e)
	}
	status, code, message := e.Status, e.Code, e.Message
	switch {
	case status == http.StatusRequestEntityTooLarge:
		status, code = http.StatusBadRequest, CodeInvalid
	case status == http.StatusInsufficientStorage:
		code = codeExhausted // clients refuse codes that they do not know
	case status == http.StatusNotFound && code == "NOT_FOUND":
		code = codeNoEndpoint
	}
	if e.Remedy != "" {
		message = strings.TrimSuffix(message, ".") + ". " + strings.ToUpper(e.Remedy[:1]) + e.Remedy[1:] + "."
	}
	e.Header(w.Header())
	Write(w, status, problem{code, message})
}

type problem struct{ code, message string }

// class is what newer clients sort errors by, beside the code.
type class struct{ state, name string }

var (
	callers = class{"KAM00", "INVALID_PARAMETER_VALUE"}
	servers = class{"XXM00", "CLIENT_INTERNAL_ERROR"}
)

// classes of the codes that have one.
var classes = map[string]class{
	CodeInvalid:               callers,
	codeBadRequest:            callers,
	"RESOURCE_DOES_NOT_EXIST": {"KAM00", "RESOURCE_NOT_FOUND"},
	"NOT_FOUND":               {"KAM00", "RESOURCE_NOT_FOUND"},
	codeNoEndpoint:            {"KAM00", "RESOURCE_NOT_FOUND"},
	"RESOURCE_ALREADY_EXISTS": {"KAM00", "RESOURCE_ALREADY_EXISTS"},
	"PERMISSION_DENIED":       {"KAM00", "PERMISSION_DENIED"},
	"CUSTOMER_UNAUTHORIZED":   {"KAM00", "PERMISSION_DENIED"},
	"FEATURE_DISABLED":        {"KAM00", "FEATURE_DISABLED"},
	"INTERNAL_ERROR":          servers,
	"INVALID_STATE":           servers,
	"TEMPORARILY_UNAVAILABLE": servers,
}

// AppendJSON implements Appender.
func (p problem) AppendJSON(w *Writer) {
	w.Begin()
	w.Str("error_code", p.code)
	w.Str("message", p.message)
	if c, ok := classes[p.code]; ok {
		w.Str("sqlstate", c.state)
		w.Str("error_class", c.name)
	}
	w.End()
}

func invalid(format string, args ...any) error {
	return server.Errorf(http.StatusBadRequest, CodeInvalid, format, args...)
}
