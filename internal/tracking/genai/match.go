package genai

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/tracking/filter"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// value of an attribute or a tag.
type value struct {
	text   string
	number int64
	isSet  bool
}

func text(s string) value   { return value{text: s, isSet: s != ""} }
func integer(n int64) value { return value{number: n, isSet: true} }
func tag(m map[string]string, key string) value {
	v, ok := m[key]
	return value{text: v, isSet: ok}
}

// parse reads a filter; its faults are the caller's.
func parse(l *filter.Language, s string) ([]filter.Comparison, error) {
	list, err := l.Parse(s)
	if err != nil {
		return nil, model.Invalid("%s", err)
	}
	return list, nil
}

// matches tells whether all comparisons hold; lookup finds the value of an identifier.
func matches(list []filter.Comparison, l *filter.Language, lookup func(filter.Entity, string) value) bool {
	for _, c := range list {
		v := lookup(c.Entity, c.Key)
		if !v.isSet {
			if c.Op == filter.IsNull {
				continue
			}
			return false
		}
		if c.Entity == filter.Attribute && l.Attributes[c.Key] == filter.Number {
			if !compare(c.Op, cmp.Compare(float64(v.number), c.Number)) {
				return false
			}
			continue
		}
		if !matchText(c, v.text) {
			return false
		}
	}
	return true
}

func matchText(c filter.Comparison, s string) bool {
	switch c.Op {
	case filter.Like:
		return like(c.Text, s, "(?s)")
	case filter.ILike:
		return like(c.Text, s, "(?is)")
	case filter.In:
		return slices.Contains(c.List, s)
	case filter.NotIn:
		return !slices.Contains(c.List, s)
	case filter.IsNull:
		return false
	case filter.IsNotNull:
		return true
	default:
		return compare(c.Op, cmp.Compare(s, c.Text))
	}
}

func compare(op filter.Op, order int) bool {
	switch op {
	case filter.Eq:
		return order == 0
	case filter.Ne:
		return order != 0
	case filter.Lt:
		return order < 0
	case filter.Le:
		return order <= 0
	case filter.Gt:
		return order > 0
	case filter.Ge:
		return order >= 0
	default:
		return false
	}
}

// like matches % and _; Go's expressions take time in proportion to the text.
func like(pattern, s, flags string) bool {
	var b strings.Builder
	b.WriteString(flags + "^")
	for _, r := range pattern {
		switch r {
		case '%':
			b.WriteString(".*")
		case '_':
			b.WriteString(".")
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	b.WriteString("$")
	re, err := regexp.Compile(b.String())
	return err == nil && re.MatchString(s)
}
