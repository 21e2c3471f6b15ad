package filter

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Matcher is the test of a text that a comparison stands for: of =, !=, IN,
// NOT IN, LIKE, ILIKE or RLIKE. It takes time in proportion to the text,
// whatever the pattern.
func (c Comparison) Matcher() (func(string) bool, error) {
	switch c.Op {
	case Eq:
		return func(s string) bool { return s == c.Text }, nil
	case Ne:
		return func(s string) bool { return s != c.Text }, nil
	case In:
		return func(s string) bool { return slices.Contains(c.List, s) }, nil
	case NotIn:
		return func(s string) bool { return !slices.Contains(c.List, s) }, nil
	case Like:
		return func(s string) bool { return like(s, c.Text) }, nil
	case ILike:
		pattern := strings.ToLower(c.Text)
		return func(s string) bool { return like(strings.ToLower(s), pattern) }, nil
	case RLike:
		r, err := c.regexp()
		if err != nil {
			return nil, err
		}
		return r.MatchString, nil
	default:
		return nil, faultf("Comparator '%s' does not compare texts", c.Op)
	}
}

// regexp compiles the pattern of RLIKE. Its language has nothing that takes
// exponential time: no references back, no looking around.
func (c Comparison) regexp() (*regexp.Regexp, error) {
	if len(c.Text) > maxPattern {
		return nil, faultf("Invalid pattern for %s '%s': it may have at most %d characters.", c.Entity, c.Key, maxPattern)
	}
	r, err := regexp.Compile(c.Text)
	if err != nil {
		return nil, faultf("Invalid regular expression for %s '%s': %v", c.Entity, c.Key, err)
	}
	return r, nil
}

// like matches % and _, going back to the last % only, which is enough.
func like(s, pattern string) bool {
	star, from := -1, 0
	i, j := 0, 0
	for i < len(s) {
		_, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case j < len(pattern) && pattern[j] == '%':
			star, from = j, i
			j++
		case j < len(pattern) && pattern[j] == '_':
			i += size
			j++
		case j < len(pattern) && pattern[j] == s[i]:
			i++
			j++
		case star >= 0:
			_, step := utf8.DecodeRuneInString(s[from:])
			from += step
			i, j = from, star+1
		default:
			return false
		}
	}
	return strings.Trim(pattern[j:], "%") == ""
}
