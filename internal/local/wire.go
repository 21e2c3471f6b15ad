//go:build linux

package local

import (
	"errors"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/text"
)

// wireFailure carries a failure between processes, so that the one with the
// terminal can say it in the user's language.
type wireFailure struct {
	Code           int
	What, Why, Try wireSentence
	Cause          string
}

type wireSentence struct {
	Key  text.Key
	Args []any
}

func toWire(err error) *wireFailure {
	var f *cli.Failure
	if !errors.As(err, &f) {
		return nil
	}
	w := &wireFailure{Code: f.Code, What: wireSentence(f.What), Why: wireSentence(f.Why), Try: wireSentence(f.Try)}
	if f.Cause != nil {
		w.Cause = f.Cause.Error()
	}
	return w
}

func (w *wireFailure) error() error {
	f := &cli.Failure{Code: w.Code, What: w.What.sentence(), Why: w.Why.sentence(), Try: w.Try.sentence()}
	if w.Cause != "" {
		f.Cause = errors.New(w.Cause)
	}
	return f
}

// sentence undoes what JSON does to whole numbers.
func (s wireSentence) sentence() text.Sentence {
	args := make([]any, len(s.Args))
	for i, a := range s.Args {
		if n, ok := a.(float64); ok && n == float64(int64(n)) {
			a = int64(n)
		}
		args[i] = a
	}
	return text.Sentence{Key: s.Key, Args: args}
}
