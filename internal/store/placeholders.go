package store

import (
	"strconv"
	"strings"
)

// toPostgres writes ? as $1, $2 …, ?3 as $3, and comparisons with a list as
// those with an array. Literals, quoted names and comments stay as they are.
func toPostgres(query string) string {
	var b strings.Builder
	next := 1
	for i := 0; i < len(query); {
		if end := skipText(query, i); end > i {
			b.WriteString(query[i:end])
			i = end
			continue
		}
		switch {
		case query[i] == '?':
			digits := i + 1
			for digits < len(query) && query[digits] >= '0' && query[digits] <= '9' {
				digits++
			}
			if digits > i+1 {
				b.WriteString("$" + query[i+1:digits])
			} else {
				b.WriteString("$" + strconv.Itoa(next))
				next++
			}
			i = digits
		case hasFold(query[i:], "NOT IN "+listMark):
			b.WriteString("<> ALL($" + strconv.Itoa(next) + ")")
			next++
			i += len("NOT IN " + listMark)
		case hasFold(query[i:], "IN "+listMark):
			b.WriteString("= ANY($" + strconv.Itoa(next) + ")")
			next++
			i += len("IN " + listMark)
		default:
			b.WriteByte(query[i])
			i++
		}
	}
	return b.String()
}

func hasFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// skipText returns the end of the literal, quoted name or comment that begins at i, or i.
func skipText(q string, i int) int {
	end := func(mark string, from int) int {
		if n := strings.Index(q[min(from, len(q)):], mark); n >= 0 {
			return from + n + len(mark)
		}
		return len(q)
	}
	switch {
	case q[i] == '\'' || q[i] == '"':
		return end(q[i:i+1], i+1) // a doubled quote is two literals side by side
	case strings.HasPrefix(q[i:], "--"):
		return end("\n", i+2)
	case strings.HasPrefix(q[i:], "/*"):
		return end("*/", i+2)
	}
	return i
}
