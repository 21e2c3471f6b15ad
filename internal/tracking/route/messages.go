package route

import (
	"fmt"

	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// Empty is the answer of calls that only do something.
type Empty struct{ mlwire.Empty }

// Done answers a call that only did something.
func Done(err error) (*Empty, error) {
	if err != nil {
		return nil, err
	}
	return &Empty{}, nil
}

// PairIn is a tag or param in a request.
type PairIn struct {
	Key   string `ml:"key"`
	Value string `ml:"value"`
}

// PairsIn are the pairs of a request.
func PairsIn(list []PairIn) []model.Pair {
	return Convert(list, func(p PairIn) model.Pair { return model.Pair(p) })
}

// CheckKeys refuses a pair without a key; name is that of the field.
func CheckKeys(name string, list []PairIn) error {
	for i, p := range list {
		if p.Key == "" {
			return mlwire.Missing(fmt.Sprintf("%s[%d].key", name, i))
		}
	}
	return nil
}

// MaxResults checks a page size; without one the standard counts.
func MaxResults(given *int64, standard, limit int64) (int, error) {
	n := standard
	if given != nil {
		n = *given
	}
	if n < 1 {
		return 0, model.Invalid("Invalid value %d for parameter 'max_results' supplied. It must be a positive integer", n)
	}
	if n > limit {
		return 0, model.Invalid("Invalid value %d for parameter 'max_results' supplied. It must be at most %d", n, limit)
	}
	return int(n), nil
}

// Pair is a tag or param in an answer.
type Pair model.Pair

// AppendJSON implements mlwire.Appender.
func (p Pair) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	w.Str("key", p.Key)
	w.Str("value", p.Value)
	w.End()
}

// Pairs writes a field with pairs unless there are none.
func Pairs(w *mlwire.Writer, name string, list []model.Pair) {
	if len(list) == 0 {
		return
	}
	w.Name(name)
	w.BeginList()
	for _, p := range list {
		w.Elem()
		Pair(p).AppendJSON(w)
	}
	w.EndList()
}

// Convert maps a list.
func Convert[A, B any](list []A, f func(A) B) []B {
	out := make([]B, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	return out
}

// One is an answer with one message in a field.
type One[T mlwire.Appender] struct {
	name  string
	value T
}

// AppendJSON implements mlwire.Appender.
func (o One[T]) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	w.Object(o.name, o.value)
	w.End()
}

// OneOf answers with a message unless there is an error.
func OneOf[T mlwire.Appender](name string, v T, err error) (*One[T], error) {
	if err != nil {
		return nil, err
	}
	return &One[T]{name, v}, nil
}

// Many is an answer with a list and the token of its next page.
type Many[T mlwire.Appender] struct {
	name string
	list []T
	next string
}

// few is how many members a list has that people read as it comes.
const few = 20

// AppendJSON implements mlwire.Appender.
func (m Many[T]) AppendJSON(w *mlwire.Writer) {
	if len(m.list) > few {
		w.Compact()
	}
	w.Begin()
	mlwire.List(w, m.name, m.list)
	w.OptStr("next_page_token", m.next)
	w.End()
}

// ManyOf answers with a list unless there is an error.
func ManyOf[A any, T mlwire.Appender](name string, list []A, next string, err error, f func(A) T) (*Many[T], error) {
	if err != nil {
		return nil, err
	}
	return &Many[T]{name, Convert(list, f), next}, nil
}

// Text is an answer with one string.
type Text struct{ Name, Value string }

// AppendJSON implements mlwire.Appender.
func (t Text) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	w.Str(t.Name, t.Value)
	w.End()
}
