package query

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// Token says where a page ends. Clients pass it on without reading it.
type Token struct {
	// Query is a hash of what was asked: a token of one search is no good for another.
	Query string `json:"q,omitempty"`
	// Offset counts rows, as MLflow's own tokens do.
	Offset int `json:"offset,omitempty"`
	// Last are the values that order a search, of the last row of a page.
	Last []json.RawMessage `json:"last,omitempty"`
}

// ParseToken reads the token of a search; an empty one is that of its first page.
func ParseToken(s, query string) (t Token, err error) {
	if s == "" {
		return Token{Query: query}, nil
	}
	if err := Decode(s, &t); err != nil {
		return t, err
	}
	if t.Offset < 0 {
		return t, model.Invalid("Invalid page token '%s'", model.Cut(s, 100))
	}
	if err := Belongs(t.Query, query); err != nil {
		return t, err
	}
	t.Query = query
	return t, nil
}

// Belongs refuses the token of another search. MLflow's own name none.
func Belongs(got, want string) error {
	if got != "" && got != want {
		return model.Invalid("Invalid page token: it belongs to another search. Send the same filter, order_by and experiments with it.")
	}
	return nil
}

// Encode writes what a token says; its fields are JSON.
func Encode(token any) string {
	b, err := json.Marshal(token)
	if err != nil {
		return "" // it has plain fields only
	}
	return base64.StdEncoding.EncodeToString(b)
}

// Decode reads what [Encode] wrote; anyone may have written something else.
func Decode(s string, token any) error {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return model.Invalid("Invalid page token, could not base64-decode")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if d.Decode(token) != nil {
		return model.Invalid("Invalid page token '%s'", model.Cut(s, 100))
	}
	return nil
}

// Hash identifies a search.
func Hash(parts ...string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(strings.Join(parts, "\x00"))) // never fails
	return strconv.FormatUint(h.Sum64(), 36)
}
