package mcp

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// codec is that of the API, with bodies of plain JSON.
type codec struct{ mlwire.Codec }

var _ server.Codec = codec{}

// Decode implements server.Codec: a query fills `ml` tags, a body `json` tags.
func (c codec) Decode(r *http.Request, req any) error {
	if r.Method == http.MethodGet || r.Method == http.MethodDelete {
		return c.Codec.Decode(r, req)
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return model.Invalid("Bad Request. Content-Type must be one of ['application/json']. It is %q.", r.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	if err := mlwire.ReadValue(body, req); err != nil {
		return explain(err)
	}
	if f, ok := req.(mlwire.FromPath); ok {
		f.FromPath(r)
	}
	return nil
}

// Encode implements server.Codec.
func (codec) Encode(w http.ResponseWriter, _ *http.Request, resp any) {
	server.WriteJSON(w, http.StatusOK, resp)
}

// explain says what is wrong with a body.
func explain(err error) error {
	var known *server.Error
	if errors.As(err, &known) {
		return known
	}
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		return invalid(cmp.Or(mismatch.Field, "body"), "the type is wrong: "+mismatch.Value+" was given")
	}
	return invalid("body", "it is not a JSON object: "+err.Error())
}

// invalid names the field of a body that cannot be taken.
func invalid(field, why string) error { return model.Invalid("Invalid request: %s: %s", field, why) }

// opt is a field that can be left out, null or given.
type opt[T any] struct {
	set, null bool
	value     T
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *opt[T]) UnmarshalJSON(b []byte) error {
	o.set = true
	if o.null = string(b) == "null"; o.null {
		return nil
	}
	return mlwire.ReadValue(b, &o.value)
}

// ptr is the value, or nil.
func (o opt[T]) ptr() *T {
	if !o.set || o.null {
		return nil
	}
	return &o.value
}

// required is the value of a field that must be there.
func required(field string, o opt[string]) (string, error) {
	switch {
	case !o.set:
		return "", invalid(field, "Field required")
	case o.null:
		return "", invalid(field, "Input should be a valid string")
	}
	return o.value, nil
}

// column is an argument of a statement.
func column[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

// document is JSON as it is stored; nil is NULL.
func document(v any, there bool) (any, error) {
	if !there {
		return nil, nil //nolint:nilnil // NULL is a value.
	}
	b, err := json.Marshal(v)
	return string(b), err
}
