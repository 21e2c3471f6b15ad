package wire

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// Code is a canonical status, named as TensorFlow Serving and gRPC name it.
type Code uint8

// The codes that inference answers with.
const (
	InvalidArgument Code = iota
	NotFound
	ResourceExhausted
	Internal
	Unimplemented
	Unavailable
	DeadlineExceeded
)

var codes = [...]struct {
	name   string
	status int
}{
	InvalidArgument:   {"INVALID_ARGUMENT", http.StatusBadRequest},
	NotFound:          {"NOT_FOUND", http.StatusNotFound},
	ResourceExhausted: {"RESOURCE_EXHAUSTED", http.StatusTooManyRequests},
	Internal:          {"INTERNAL", http.StatusInternalServerError},
	Unimplemented:     {"UNIMPLEMENTED", http.StatusNotImplemented},
	Unavailable:       {"UNAVAILABLE", http.StatusServiceUnavailable},
	DeadlineExceeded:  {"DEADLINE_EXCEEDED", http.StatusGatewayTimeout},
}

// String is the canonical name.
func (c Code) String() string { return codes[c].name }

// HTTPStatus is the status that TensorFlow Serving maps the code to.
func (c Code) HTTPStatus() int { return codes[c].status }

// Error is an answer to the client.
type Error struct {
	Code    Code
	Message string
}

// Error is the text that the client reads.
func (e *Error) Error() string { return e.Message }

// Errorf makes an Error.
func Errorf(c Code, format string, args ...any) *Error {
	return &Error{c, fmt.Sprintf(format, args...)}
}

// AppendError appends the envelope of both protocols, {"error": …}, and returns
// it with the HTTP status. What is no *Error is an internal one; its text is not shown.
func AppendError(dst []byte, err error) ([]byte, int) {
	e := &Error{Internal, "internal error; see the log of the model server"}
	errors.As(err, &e)
	dst = append(dst, `{"error":`...)
	dst = appendString(dst, []byte(e.Message))
	return append(dst, '}', '\n'), e.Code.HTTPStatus()
}

// within says where in the request an error was found, in TensorFlow Serving's words.
func within(err error, format string, args ...any) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	return &Error{e.Code, fmt.Sprintf(format, args...) + " Error: " + e.Code.String() + ": " + e.Message}
}

// excerpt of a value for an error text.
func excerpt(b []byte) string {
	const most = 60
	if len(b) > most {
		return strconv.Quote(string(b[:most])) + " (cut)"
	}
	return string(b)
}
