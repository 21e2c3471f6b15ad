package server

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
)

// JSONCodec is the codec of our own API: strict JSON in, JSON out, errors as
// {"error":{"code","message","remedy"}}.
type JSONCodec struct{}

// Decode reads one JSON value; unknown fields are refused. A request type that
// implements FromRequest also gets path and query.
func (JSONCodec) Decode(r *http.Request, req any) error {
	if r.ContentLength != 0 && r.Method != http.MethodGet && r.Method != http.MethodDelete {
		if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
			return Errorf(http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE", "Content-Type must be application/json")
		}
		dec := json.NewDecoder(r.Body)
		dec.DisallowUnknownFields()
		if err := dec.Decode(req); err != nil && !errors.Is(err, io.EOF) {
			return decodeError(err)
		}
		if dec.More() {
			return Invalid("the body holds more than one JSON value")
		}
	}
	if f, ok := req.(FromRequest); ok {
		return f.FromRequest(r)
	}
	return nil
}

// FromRequest is implemented by request types that take path values or query parameters.
type FromRequest interface{ FromRequest(r *http.Request) error }

func decodeError(err error) error {
	var tooLarge *http.MaxBytesError
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &tooLarge):
		return err
	case errors.As(err, &wrong):
		return Invalid("the body is not as expected: %w", err)
	default:
		return Invalid("the body is not valid JSON: %w", err)
	}
}

// Encode writes resp with status 200, or 204 when it is nil.
func (JSONCodec) Encode(w http.ResponseWriter, _ *http.Request, resp any) {
	WriteJSON(w, http.StatusOK, resp)
}

// Error writes our envelope.
func (JSONCodec) Error(w http.ResponseWriter, _ *http.Request, err error) {
	e := AsError(err)
	body := map[string]string{"code": e.Code, "message": e.Message}
	if e.Remedy != "" {
		body["remedy"] = e.Remedy
	}
	e.Header(w.Header())
	WriteJSON(w, e.Status, map[string]any{"error": body})
}

// WriteJSON sends a value with a status.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, `{"error":{"code":"INTERNAL_ERROR","message":"the answer could not be encoded"}}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the client has gone; there is nobody to tell
}
