package filter

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind int

const (
	none    kind = iota
	name         // a word or a dotted identifier, parts of which may be quoted
	quoted       // "text" or `text`: an identifier, or (with ") a value
	literal      // 'text'
	numeral      // 3, -0.5, 1e-3
	symbol       // operators and punctuation
)

// token is a piece of a filter; text is as written, text2 the value of a quoted one.
type token struct {
	kind  kind
	text  string
	text2 string
}

func (t token) word(w string) bool { return t.kind == name && strings.EqualFold(t.text, w) }

func (t token) isText() bool {
	return t.kind == literal || t.kind == quoted && strings.HasPrefix(t.text, `"`)
}

// isConstant tells words that are values elsewhere, but never here.
func (t token) isConstant() bool { return t.word("true") || t.word("false") }

func scan(text string) ([]token, error) {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return nil, faultf("Invalid filter: it is not valid UTF-8 text.")
	}
	var tokens []token
	for rest := strings.TrimSpace(text); rest != ""; rest = strings.TrimSpace(rest) {
		t, n, err := scanOne(rest)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, t)
		rest = rest[n:]
	}
	return tokens, nil
}

func scanOne(s string) (token, int, error) {
	r, _ := utf8.DecodeRuneInString(s)
	switch {
	case r == '\'':
		n, value := quotedEnd(s)
		if n == 0 {
			return token{}, 0, faultf("Invalid filter: the quotation mark of %s is not closed.", s)
		}
		return token{literal, s[:n], value}, n, nil
	case strings.ContainsRune("(),", r):
		return token{kind: symbol, text: s[:1]}, 1, nil
	case strings.ContainsRune("=<>!", r):
		n := 1
		if len(s) > 1 && strings.ContainsRune("=>", rune(s[1])) {
			n = 2
		}
		return token{kind: symbol, text: s[:n]}, n, nil
	case r == '+' || r == '-' || r == '.' || '0' <= r && r <= '9':
		n := numeralEnd(s)
		return token{kind: numeral, text: s[:n]}, n, nil
	case nameRune(r) || r == '"' || r == '`':
		return scanName(s)
	}
	return token{}, 0, faultf("Invalid clause(s) in filter string: '%s'", s)
}

func nameRune(r rune) bool {
	return r == '_' || r == '$' || r == '@' || r == '#' || unicode.IsLetter(r) || unicode.IsDigit(r)
}

// scanName reads metrics.loss, params."a b", tags.`mlflow.source.name`, `run name`.
func scanName(s string) (token, int, error) {
	n, parts := 0, 0
	for n < len(s) {
		r, size := utf8.DecodeRuneInString(s[n:])
		switch {
		case r == '"' || r == '`':
			end, value := quotedEnd(s[n:])
			if end == 0 {
				return token{}, 0, faultf("Invalid filter: the quotation mark of %s is not closed.", s[n:])
			}
			if n == 0 && (end == len(s) || s[end] != '.') {
				return token{quoted, s[:end], value}, end, nil
			}
			n += end
			parts++
		case nameRune(r) || n > 0 && strings.ContainsRune("./:-", r):
			n += size
		default:
			return token{kind: name, text: s[:n]}, n, nil
		}
	}
	return token{kind: name, text: s}, n, nil
}

// quotedEnd finds the end of a quotation and its value; two marks, or one
// behind a backslash, are one mark of the value.
func quotedEnd(s string) (int, string) {
	mark := s[0]
	var value strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == mark && mark == '\'':
			i++
			value.WriteByte(mark)
		case s[i] != mark:
			value.WriteByte(s[i])
		case i+1 < len(s) && s[i+1] == mark:
			i++
			value.WriteByte(mark)
		default:
			return i + 1, value.String()
		}
	}
	return 0, ""
}

func numeralEnd(s string) int {
	n := 0
	for n < len(s) {
		c := s[n]
		signed := (c == '+' || c == '-') && (n == 0 || s[n-1] == 'e' || s[n-1] == 'E')
		if !signed && c != '.' && c != 'e' && c != 'E' && (c < '0' || c > '9') {
			break
		}
		n++
	}
	return n
}
