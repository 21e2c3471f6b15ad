package plain

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

func TestError_speaksTheUsersWords(t *testing.T) {
	var into struct {
		Name  string           `json:"name"`
		Count int              `json:"count"`
		List  []map[string]any `json:"list"`
		Deep  struct {
			Flag *bool   `json:"flag"`
			Size float64 `json:"size"`
		} `json:"deep"`
	}
	decode := func(s string) error { return json.Unmarshal([]byte(s), &into) }
	_, number := strconv.ParseInt("many", 10, 64)
	_, large := strconv.ParseInt("99999999999999999999", 10, 64)
	_, truth := strconv.ParseBool("maybe")
	_, duration := time.ParseDuration("soon")
	_, missing := os.Open(filepath.Join("no", "such", "file"))
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"Nothing":      {nil, ""},
		"OurOwn":       {errors.New("the label is missing"), "the label is missing"},
		"List":         {decode(`[]`), "expected an object, got a list"},
		"String":       {decode(`{"name":{}}`), "name: expected a string, got an object"},
		"WholeNumber":  {decode(`{"count":1.5}`), "count: expected a whole number, got the number 1.5"},
		"ListWanted":   {decode(`{"list":"x"}`), "list: expected a list, got a string"},
		"ObjectWanted": {decode(`{"list":[true]}`), "list: expected an object, got true or false"},
		"Deep":         {fmt.Errorf("the body: %w", decode(`{"deep":{"flag":"yes"}}`)), "the body: deep.flag: expected true or false, got a string"},
		"Number":       {decode(`{"deep":{"size":"big"}}`), "deep.size: expected a number, got a string"},
		"HalfAText":    {decode(`{"name":`), "the text ends too early"},
		"HalfAStream":  {io.ErrUnexpectedEOF, "the text ends too early"},
		"NoText":       {io.EOF, "the text ends too early"},
		"UnknownField": {errors.New(`json: unknown field "x"`), `unknown field "x"`},
		"ParseNumber":  {number, `"many" is not a number`},
		"ParseRange":   {large, `"99999999999999999999" is out of range`},
		"ParseTruth":   {truth, `"maybe" is neither true nor false`},
		"Duration":     {duration, `invalid duration "soon"`},
		"File":         {fmt.Errorf("read: %w", missing), "read: no/such/file does not exist"},
		"Forbidden":    {&fs.PathError{Op: "openat", Path: "f", Err: fs.ErrPermission}, "f must not be read or written by this user"},
		"Link":         {&os.LinkError{Op: "renameat", Old: "a", New: "b", Err: errors.New("is a directory")}, "b: is a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			got := Error(c.err)
			if got == nil {
				if c.want != "" {
					t.Errorf("got nothing, want %q", c.want)
				}
				return
			}
			if got.Error() != c.want || !errors.Is(got, c.err) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
