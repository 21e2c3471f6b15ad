package plain

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strconv"
	"strings"
)

// Error says err without types of Go, names of functions and system calls. What
// has nothing of the kind comes back as it is, and so does the text around it.
func Error(err error) error {
	if err == nil {
		return nil
	}
	said := err.Error()
	for _, words := range []func(error) (theirs, ours string){typeWords, pathWords, linkWords, numberWords} {
		if theirs, ours := words(err); theirs != "" {
			said = strings.Replace(said, theirs, ours, 1)
		}
	}
	for _, p := range phrases {
		said = strings.ReplaceAll(said, p.theirs, p.ours)
	}
	if errors.Is(err, io.EOF) {
		said = strings.Replace(said, io.EOF.Error(), earlyEnd, 1)
	}
	if said == err.Error() {
		return err
	}
	return &plain{said, err}
}

// phrases are of errors without a type.
var phrases = []struct{ theirs, ours string }{
	{"json: unknown field", "unknown field"},
	{"time: invalid duration", "invalid duration"},
	{"unexpected end of JSON input", earlyEnd},
	{io.ErrUnexpectedEOF.Error(), earlyEnd},
}

const earlyEnd = "the text ends too early"

// plain has its own words; its cause stays what it was.
type plain struct {
	said  string
	cause error
}

func (p *plain) Error() string { return p.said }

// Unwrap gives the error in Go's words.
func (p *plain) Unwrap() error { return p.cause }

func typeWords(err error) (theirs, ours string) {
	e, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return "", ""
	}
	where := ""
	if e.Field != "" {
		where = e.Field + ": "
	}
	return e.Error(), where + "expected " + kindWords(e.Type) + ", got " + valueWords(e.Value)
}

func kindWords(t reflect.Type) string {
	if t == nil {
		return "something else"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return kindWords(t.Elem())
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number"
	case reflect.Slice, reflect.Array:
		return "a list"
	default:
		return "an object"
	}
}

// valueWords are for what the decoder calls a value: "array" or "number 3.5".
func valueWords(value string) string {
	kind, rest, _ := strings.Cut(value, " ")
	switch {
	case kind == "array":
		return "a list"
	case kind == "object":
		return "an object"
	case kind == "bool":
		return "true or false"
	case kind == "number" && rest != "":
		return "the number " + rest
	default:
		return "a " + kind
	}
}

func pathWords(err error) (theirs, ours string) {
	e, ok := errors.AsType[*fs.PathError](err)
	if !ok {
		return "", ""
	}
	return e.Error(), e.Path + fileWords(e.Err)
}

func linkWords(err error) (theirs, ours string) {
	e, ok := errors.AsType[*os.LinkError](err)
	if !ok {
		return "", ""
	}
	return e.Error(), e.New + fileWords(e.Err)
}

func fileWords(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return " does not exist"
	case errors.Is(err, fs.ErrExist):
		return " exists already"
	case errors.Is(err, fs.ErrPermission):
		return " must not be read or written by this user"
	default:
		return ": " + err.Error()
	}
}

func numberWords(err error) (theirs, ours string) {
	e, ok := errors.AsType[*strconv.NumError](err)
	if !ok {
		return "", ""
	}
	ours = strconv.Quote(e.Num) + " is not a number"
	switch {
	case errors.Is(e.Err, strconv.ErrRange):
		ours = strconv.Quote(e.Num) + " is out of range"
	case e.Func == "ParseBool":
		ours = strconv.Quote(e.Num) + " is neither true nor false"
	}
	return e.Error(), ours
}
