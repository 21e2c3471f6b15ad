package mlwire

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"
)

// Scanner reads JSON of a known form without building a tree, for the few
// requests that come by the thousand. Every method returns false for what it
// does not expect; the caller then gives up and takes the general way, which
// also has the right error.
type Scanner struct {
	b []byte
	i int
}

// NewScanner reads b.
func NewScanner(b []byte) *Scanner { return &Scanner{b: b} }

// End tells whether everything was read.
func (s *Scanner) End() bool {
	s.space()
	return s.i == len(s.b)
}

func (s *Scanner) space() {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\n' || s.b[s.i] == '\t' || s.b[s.i] == '\r') {
		s.i++
	}
}

// byte takes c if it is next.
func (s *Scanner) byte(c byte) bool {
	s.space()
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

// Object calls field for every name; it reads the value.
func (s *Scanner) Object(field func(name []byte) bool) bool {
	if !s.byte('{') {
		return false
	}
	if s.byte('}') {
		return true
	}
	for {
		name, ok := s.Bytes()
		if !ok || !s.byte(':') || !field(name) {
			return false
		}
		if s.byte(',') {
			continue
		}
		return s.byte('}')
	}
}

// Array calls element for every element; it reads the value.
func (s *Scanner) Array(element func() bool) bool {
	if !s.byte('[') {
		return false
	}
	if s.byte(']') {
		return true
	}
	for {
		if !element() {
			return false
		}
		if s.byte(',') {
			continue
		}
		return s.byte(']')
	}
}

// Bytes reads a string without escapes; the bytes belong to the input.
func (s *Scanner) Bytes() ([]byte, bool) {
	if !s.byte('"') {
		return nil, false
	}
	for from := s.i; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; {
		case c == '"':
			text := s.b[from:s.i]
			s.i++
			return text, true
		case c == '\\' || c < ' ' || c >= utf8.RuneSelf:
			return nil, false
		}
	}
	return nil, false
}

// Text reads any string.
func (s *Scanner) Text() (string, bool) {
	s.space()
	from := s.i
	if b, ok := s.Bytes(); ok {
		return string(b), true
	}
	s.i = from
	if s.i >= len(s.b) || s.b[s.i] != '"' {
		return "", false
	}
	for s.i++; s.i < len(s.b); s.i++ {
		switch s.b[s.i] {
		case '\\':
			s.i++
		case '"':
			s.i++
			var text string
			raw := s.b[from:s.i]
			return text, utf8.Valid(raw) && json.Unmarshal(raw, &text) == nil
		}
	}
	return "", false
}

// Int reads a whole number of up to 18 digits.
func (s *Scanner) Int() (int64, bool) {
	text := s.number()
	digits := bytes.TrimPrefix(text, []byte("-"))
	if len(digits) == 0 || len(digits) > 18 || digits[0] == '0' && len(digits) > 1 {
		return 0, false
	}
	var n int64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if len(digits) < len(text) {
		n = -n
	}
	return n, true
}

// number takes the bytes of a number, which may be malformed.
func (s *Scanner) number() []byte {
	s.space()
	from := s.i
	for s.i < len(s.b) {
		c := s.b[s.i]
		if (c < '0' || c > '9') && c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E' {
			break
		}
		s.i++
	}
	return s.b[from:s.i]
}

// Float reads a number, "NaN" or an infinity.
func (s *Scanner) Float() (float64, bool) {
	s.space()
	if s.i < len(s.b) && s.b[s.i] == '"' {
		text, ok := s.Bytes()
		switch {
		case !ok:
		case string(text) == "NaN":
			return math.NaN(), true
		case string(text) == "Infinity":
			return math.Inf(1), true
		case string(text) == "-Infinity":
			return math.Inf(-1), true
		}
		return 0, false
	}
	text := s.number()
	if f, ok := simpleFloat(text); ok {
		return f, true
	}
	var n json.Number
	if json.Unmarshal(text, &n) != nil { // strict about leading zeros and the like
		return 0, false
	}
	f, err := strconv.ParseFloat(string(text), 64)
	return f, err == nil
}

var powers = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// simpleFloat reads [-]digits[.digits] of up to 15 digits, for which one
// division of two exact numbers gives the correctly rounded result.
func simpleFloat(text []byte) (float64, bool) {
	digits := bytes.TrimPrefix(text, []byte("-"))
	if len(digits) == 0 || digits[0] < '0' || digits[0] > '9' || digits[0] == '0' && len(digits) > 1 && digits[1] != '.' {
		return 0, false
	}
	var mantissa int64
	count, point := 0, -1
	for i, c := range digits {
		switch {
		case c == '.' && point < 0 && i+1 < len(digits):
			point = count
		case c >= '0' && c <= '9' && count < 15:
			mantissa = mantissa*10 + int64(c-'0')
			count++
		default:
			return 0, false
		}
	}
	f := float64(mantissa)
	if point >= 0 {
		f /= powers[count-point]
	}
	if len(digits) < len(text) {
		f = -f
	}
	return f, true
}
