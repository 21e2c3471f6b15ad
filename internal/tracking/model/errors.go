package model

import (
	"errors"
	"net/http"

	"github.com/kiwerk/kiwerk/internal/server"
)

// Error codes of MLflow's API. Clients repeat a request after 408, 429, 500,
// 502, 503 and 504, for minutes, so none of these travels with such a status.
const (
	CodeInvalid = "INVALID_PARAMETER_VALUE"
	CodeMissing = "RESOURCE_DOES_NOT_EXIST"
	CodeExists  = "RESOURCE_ALREADY_EXISTS"
)

// Invalid is a request that can never work.
func Invalid(format string, args ...any) error {
	return server.Errorf(http.StatusBadRequest, CodeInvalid, format, args...)
}

// Missing is a request about something that does not exist.
func Missing(format string, args ...any) error {
	return server.Errorf(http.StatusNotFound, CodeMissing, format, args...)
}

// Exists is the making of something that is there.
func Exists(format string, args ...any) error {
	return server.Errorf(http.StatusBadRequest, CodeExists, format, args...)
}

// ErrNoAlias is the cause of NoAlias.
var ErrNoAlias = errors.New("not found")

// NoAlias is an alias that names nothing, which MLflow calls an invalid
// parameter. The rest of the platform takes it for missing, as it may come.
func NoAlias(alias string) error { return Invalid("Registered model alias %s %w.", alias, ErrNoAlias) }

// IsMissing tells whether err came from Missing.
func IsMissing(err error) bool {
	var e *server.Error
	return errors.As(err, &e) && e.Code == CodeMissing
}
