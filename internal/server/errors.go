package server

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/kiwerk/kiwerk/internal/text/plain"
)

// Error is what a caller gets to read: what went wrong and what to do. The
// cause stays in the log.
type Error struct {
	Status  int    // HTTP status
	Code    string // machine-readable, e.g. NOT_FOUND
	Message string // what, where, why
	Remedy  string // what to do; may be empty
	Cause   error  // never sent
	// Retry is how long to wait before the next attempt, which the answer says
	// in Retry-After; 0 says nothing.
	Retry time.Duration
}

// Header sets what an answer with the error has beside its body.
func (e *Error) Header(h http.Header) {
	if e.Retry > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(e.Retry.Seconds()))))
	}
}

// Error is the message with the cause, for logs.
func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %v", e.Message, e.Cause)
	}
	return e.Message
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Errorf makes an Error from a status; a cause is taken from a %w verb. Causes
// are told in plain words.
func Errorf(status int, code, format string, args ...any) *Error {
	args = slices.Clone(args)
	for i, a := range args {
		if cause, ok := a.(error); ok {
			args[i] = plain.Error(cause)
		}
	}
	err := fmt.Errorf(format, args...)
	return &Error{Status: status, Code: code, Message: err.Error(), Cause: errors.Unwrap(err)}
}

// NotFound is a 404.
func NotFound(format string, args ...any) *Error {
	return Errorf(http.StatusNotFound, "NOT_FOUND", format, args...)
}

// Invalid is a 400.
func Invalid(format string, args ...any) *Error {
	return Errorf(http.StatusBadRequest, "INVALID_ARGUMENT", format, args...)
}

// AsError finds the public error in err. Anything else is an internal error
// whose text is not shown to the caller.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return &Error{
			Status: http.StatusRequestEntityTooLarge, Code: "REQUEST_TOO_LARGE",
			Message: fmt.Sprintf("the request body is larger than %d bytes", tooLarge.Limit), Cause: err,
		}
	}
	if isDiskFull(err) {
		return &Error{
			Status: http.StatusInsufficientStorage, Code: "INSUFFICIENT_STORAGE",
			Message: "the disk of the data directory is full; nothing was stored", Remedy: "free space and send the request again", Cause: err,
		}
	}
	// What a store says of itself, which this package does not know.
	var down interface{ Unavailable() bool }
	if errors.As(err, &down) && down.Unavailable() {
		return &Error{
			Status: http.StatusServiceUnavailable, Code: "TEMPORARILY_UNAVAILABLE",
			Message: "the database cannot be reached at the moment", Remedy: "send the request again in a moment", Cause: err,
		}
	}
	var bad interface{ InvalidValue() bool }
	if errors.As(err, &bad) && bad.InvalidValue() {
		return &Error{
			Status: http.StatusBadRequest, Code: "INVALID_PARAMETER_VALUE",
			Message: "the database cannot hold a value of the request: a text with a NUL character, or a number or text that is too large", Cause: err,
		}
	}
	return &Error{Status: http.StatusInternalServerError, Code: "INTERNAL_ERROR", Message: "internal error; see the platform's log", Cause: err}
}
