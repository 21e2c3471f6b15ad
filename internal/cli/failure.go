package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/kiwerk/kiwerk/internal/text"
	"github.com/kiwerk/kiwerk/internal/text/plain"
)

// Exit codes.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitNotReady    = 3 // timed out or not ready
	ExitNotFound    = 4
	ExitNotAllowed  = 5
	ExitInterrupted = 130
)

// Failure is an error that a person reads: what failed, why, and a command to try.
type Failure struct {
	Code  int // exit code; 0 counts as ExitFailed
	What  text.Sentence
	Why   text.Sentence
	Cause error
	// Try is a command or a short advice in the user's language.
	Try text.Sentence
}

// Error is the English text, for logs.
func (f *Failure) Error() string {
	p := text.For("en")
	msg := f.What.In(p)
	if why := f.Why.In(p); why != "" {
		msg += ": " + why
	}
	if f.Cause != nil {
		msg += ": " + f.Cause.Error()
	}
	return msg
}

// Unwrap gives the cause.
func (f *Failure) Unwrap() error { return f.Cause }

// exitError is a command whose own output has already said everything.
type exitError int

// Error names the code.
func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// Exit makes an error that ends the program with a code and prints nothing.
func Exit(code int) error {
	if code == ExitOK {
		return nil
	}
	return exitError(code)
}

// codeOf is the exit code for an error.
func codeOf(err error) int {
	var exit exitError
	var failure *Failure
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &exit):
		return int(exit)
	case errors.As(err, &failure) && failure.Code != 0:
		return failure.Code
	case errors.Is(err, context.Canceled):
		return ExitInterrupted
	case errors.Is(err, context.DeadlineExceeded):
		return ExitNotReady
	}
	return ExitFailed
}

// report writes an error for a person.
func report(w io.Writer, p *text.Printer, err error) {
	var exit exitError
	if err == nil || errors.As(err, &exit) || errors.Is(err, context.Canceled) {
		return
	}
	var f *Failure
	if !errors.As(err, &f) {
		fmt.Fprintf(w, "%s: %v\n", p.T(text.CommandError), plain.Error(err))
		return
	}
	fmt.Fprintf(w, "%s: %s\n", p.T(text.CommandError), f.What.In(p))
	if why := f.Why.In(p); why != "" {
		fmt.Fprintf(w, "  %s\n", why)
	}
	if f.Cause != nil {
		fmt.Fprintf(w, "  %v\n", plain.Error(f.Cause))
	}
	if try := f.Try.In(p); try != "" {
		if f.Try.Key == text.Verbatim { // a command, in which a word may stand for an argument
			words := strings.Split(try, " ")
			for i, word := range words {
				if placeholder.FindString(word) == word {
					words[i] = p.Label(word)
				}
			}
			try = strings.Join(words, " ")
		}
		fmt.Fprintf(w, "%s: %s\n", p.T(text.CommandTry), p.Command(try))
	}
}

func usage(what text.Sentence, try string) error {
	return &Failure{Code: ExitUsage, What: what, Try: text.S(text.Verbatim, try)}
}
