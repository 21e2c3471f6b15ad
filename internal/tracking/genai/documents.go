package genai

import (
	"bytes"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/filter"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
)

// documents is how a database reads fields of the documents.
type documents struct{ postgres bool }

func documentsOf(s *db.Store) documents { return documents{s.Dialect() == db.Postgres} }

func (d documents) doc() string {
	if d.postgres {
		return "CAST(doc AS json)"
	}
	return "doc"
}

// text is a field, NULL where it is not set. Names are constants.
func (d documents) text(name string) string {
	if d.postgres {
		return `((` + d.doc() + ` ->> '` + name + `') COLLATE "C")`
	}
	return "(doc ->> '" + name + "')"
}

// number is a field that is always set.
func (d documents) number(name string) string {
	return "CAST(" + d.doc() + " ->> '" + name + "' AS BIGINT)"
}

// tag compares the entry of a map, which tags are. SQLite's own operator takes a key with a quote for a path.
func (d documents) tag(c filter.Comparison) query.Clause {
	before, column, after := "EXISTS(SELECT 1 FROM json_each(doc, '$.tags') e WHERE e.key = ? AND ", "e.value", ")"
	if d.postgres {
		before, column, after = "", "(("+d.doc()+` -> 'tags' ->> ?) COLLATE "C")`, ""
	}
	part := query.Text(column, c)
	return query.Of(before+part.SQL+after, append([]any{c.Key}, part.Args...)...)
}

// has is true of documents with one of some words in a list.
func (d documents) has(name string, words []string) query.Clause {
	list := "json_each(doc, '$." + name + "') e"
	if d.postgres {
		list = "json_array_elements_text(" + d.doc() + " -> '" + name + "') e(value)"
	}
	return query.Of("EXISTS(SELECT 1 FROM "+list+" WHERE e.value IN (??))", words)
}

// holdsNUL: a document could be stored but not searched.
func holdsNUL(doc []byte) bool {
	for i := bytes.IndexByte(doc, '\\'); i >= 0 && i < len(doc); i++ {
		if doc[i] != '\\' {
			continue
		}
		if bytes.HasPrefix(doc[i:], []byte(`\u0000`)) {
			return true
		}
		i++
	}
	return false
}

// parse reads a filter; its faults are the caller's.
func parse(l *filter.Language, s string) ([]filter.Comparison, error) {
	list, err := l.Parse(s)
	if err != nil {
		return nil, model.Invalid("%s", err)
	}
	return list, nil
}
