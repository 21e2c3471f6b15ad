package graphql

import (
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// Bounds of a query, which keep one request from standing for hundreds.
const (
	maxDepth      = 10
	maxSelections = 1000
	maxRoots      = 10 // unless the options say otherwise, and the same for aliases
	maxTokens     = 10_000
)

// measure is what a query asks for at once.
type measure struct {
	roots   int
	aliases int // on one level, fragments included
	all     int
}

// check refuses a query that is too large. It works on what was parsed, before
// validation, whose cost grows faster than the query.
func (h *Handler) check(doc *ast.QueryDocument) error {
	var m measure
	for _, op := range doc.Operations {
		if err := m.level(doc, op.SelectionSet, 1); err != nil {
			return err
		}
	}
	// Fragments that no operation uses are validated all the same.
	var spare measure
	for _, f := range doc.Fragments {
		if err := spare.level(doc, f.SelectionSet, 2); err != nil {
			return err
		}
	}
	if m.roots > h.roots {
		return tooMany("root fields", "ROOT_FIELDS", h.roots, m.roots)
	}
	if m.aliases > h.aliases {
		return tooMany("aliases", "ALIASES", h.aliases, m.aliases)
	}
	return nil
}

func tooMany(what, variable string, limit, got int) error {
	return model.Invalid("GraphQL queries should have at most %d %s, got %d %s. To increase the limit, set the MLFLOW_SERVER_GRAPHQL_MAX_%s environment variable.", limit, what, got, what, variable)
}

func (m *measure) level(doc *ast.QueryDocument, set ast.SelectionSet, depth int) error {
	if depth > maxDepth {
		return model.Invalid("Query exceeds maximum depth of %d", maxDepth)
	}
	aliases := 0
	for _, f := range fieldsOf(doc, set, map[string]bool{}) {
		if depth == 1 {
			m.roots++
		}
		if m.all++; m.all > maxSelections {
			return model.Invalid("Query exceeds maximum total selections of %d", maxSelections)
		}
		if f.Alias != f.Name { // the parser gives every field an alias
			aliases++
		}
		if len(f.SelectionSet) > 0 {
			if err := m.level(doc, f.SelectionSet, depth+1); err != nil {
				return err
			}
		}
	}
	m.aliases = max(m.aliases, aliases)
	return nil
}

// fieldsOf are the fields of one level with those of its fragments, each of which counts once.
func fieldsOf(doc *ast.QueryDocument, set ast.SelectionSet, seen map[string]bool) (fields []*ast.Field) {
	for _, s := range set {
		switch s := s.(type) {
		case *ast.Field:
			fields = append(fields, s)
		case *ast.InlineFragment:
			fields = append(fields, fieldsOf(doc, s.SelectionSet, seen)...)
		case *ast.FragmentSpread:
			if f := doc.Fragments.ForName(s.Name); f != nil && !seen[s.Name] {
				seen[s.Name] = true
				fields = append(fields, fieldsOf(doc, f.SelectionSet, seen)...)
			}
		}
	}
	return fields
}

var errNoOperation = model.Invalid("Must provide operation name if query contains multiple operations.")
