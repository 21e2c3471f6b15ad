package kube

import (
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// StalledError needs the user: the object does not change until its spec does.
type StalledError struct {
	Reason string
	Err    error
}

// Stalled marks err as one that retrying cannot mend.
func Stalled(reason string, err error) error { return &StalledError{reason, err} }

// Stalledf is Stalled with a formatted message.
func Stalledf(reason, format string, args ...any) error {
	return &StalledError{reason, fmt.Errorf(format, args...)}
}

func (e *StalledError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *StalledError) Unwrap() error { return e.Err }

// WaitError is no failure: something is not there yet.
type WaitError struct {
	After  time.Duration
	Reason string
}

// Wait asks to look again after d; zero means that a watch will tell.
func Wait(d time.Duration, reason string) error { return &WaitError{d, reason} }

func (e *WaitError) Error() string { return "waiting: " + e.Reason }

// result turns the kind of an error into what controller-runtime should do.
func result(res reconcile.Result, err error) (reconcile.Result, error) {
	var stalled *StalledError
	var wait *WaitError
	switch {
	case err == nil:
		return res, nil
	case errors.As(err, &stalled):
		return reconcile.Result{}, reconcile.TerminalError(err)
	case errors.As(err, &wait):
		return reconcile.Result{RequeueAfter: wait.After}, nil
	case apierrors.IsConflict(err):
		return reconcile.Result{RequeueAfter: conflictPause}, nil
	default:
		return reconcile.Result{}, err
	}
}

// conflictPause lets the cache catch up with the write that was in conflict.
const conflictPause = 20 * time.Millisecond
