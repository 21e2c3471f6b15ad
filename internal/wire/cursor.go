package wire

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds how deep JSON may be nested.
const maxDepth = 64

// cursor walks over JSON text. NaN, Infinity and -Infinity are accepted as
// bare tokens, as both protocols' servers do.
type cursor struct {
	b []byte
	i int
}

// The texts are those of the parser inside TensorFlow Serving: clients match on them.
const (
	errEmpty    = "The document is empty."
	errTrailing = "The document root must not be followed by other values."
	errValue    = "Invalid value."
	errName     = "Missing a name for object member."
	errColon    = "Missing a colon after a name of object member."
	errObject   = "Missing a comma or } after an object member."
	errArray    = "Missing a comma or ] after an array element."
	errString   = "Missing a closing quotation mark in string."
	errEscape   = "Invalid escape character in string."
)

func (c *cursor) syntax(text string) error {
	return Errorf(InvalidArgument, "JSON Parse error: %s at offset: %d", text, c.i)
}

// peek skips white space and returns the next byte without taking it; 0 at the end.
func (c *cursor) peek() byte {
	for c.i < len(c.b) {
		switch b := c.b[c.i]; b {
		case ' ', '\n', '\t', '\r':
			c.i++
		default:
			return b
		}
	}
	return 0
}

// end checks that nothing follows.
func (c *cursor) end() error {
	if c.peek() != 0 || c.i < len(c.b) {
		return c.syntax(errTrailing)
	}
	return nil
}

// object calls member for each key with the cursor before the value.
func (c *cursor) object(member func(key []byte) error) error {
	if c.peek() != '{' {
		return c.syntax(errValue)
	}
	c.i++
	if c.peek() == '}' {
		c.i++
		return nil
	}
	for {
		if c.peek() != '"' {
			return c.syntax(errName)
		}
		key, err := c.string()
		if err != nil {
			return err
		}
		if c.peek() != ':' {
			return c.syntax(errColon)
		}
		c.i++
		if err := member(key); err != nil {
			return err
		}
		switch c.peek() {
		case ',':
			c.i++
		case '}':
			c.i++
			return nil
		default:
			return c.syntax(errObject)
		}
	}
}

// array calls element with the cursor before each value.
func (c *cursor) array(element func(i int) error) error {
	if c.peek() != '[' {
		return c.syntax(errValue)
	}
	c.i++
	if c.peek() == ']' {
		c.i++
		return nil
	}
	for i := 0; ; i++ {
		if err := element(i); err != nil {
			return err
		}
		more, err := c.more()
		if err != nil || !more {
			return err
		}
	}
}

// more takes what follows an array element.
func (c *cursor) more() (bool, error) {
	switch c.peek() {
	case ',':
		c.i++
		return true, nil
	case ']':
		c.i++
		return false, nil
	default:
		return false, c.syntax(errArray)
	}
}

// raw takes one value of any kind and returns its text.
func (c *cursor) raw() ([]byte, error) {
	c.peek()
	start := c.i
	err := c.skip(0)
	return c.b[start:c.i], err
}

// skip takes one value of any kind.
func (c *cursor) skip(depth int) error {
	if depth > maxDepth {
		return Errorf(InvalidArgument, "JSON Parse error: nested deeper than %d at offset: %d", maxDepth, c.i)
	}
	switch b := c.peek(); {
	case b == '{':
		return c.object(func([]byte) error { return c.skip(depth + 1) })
	case b == '[':
		return c.array(func(int) error { return c.skip(depth + 1) })
	case b == '"':
		_, err := c.string()
		return err
	case c.literal("true"), c.literal("false"), c.literal("null"):
		return nil
	default:
		_, err := c.number()
		return err
	}
}

// literal takes word if it comes next.
func (c *cursor) literal(word string) bool {
	if len(c.b)-c.i >= len(word) && string(c.b[c.i:c.i+len(word)]) == word {
		c.i += len(word)
		return true
	}
	return false
}

// string takes a string. The result aliases the text unless it has escapes.
func (c *cursor) string() ([]byte, error) {
	if c.peek() != '"' {
		return nil, c.syntax(errValue)
	}
	rest := c.b[c.i+1:]
	n := bytes.IndexByte(rest, '"')
	if n < 0 {
		return nil, c.syntax(errString)
	}
	if bytes.IndexByte(rest[:n], '\\') < 0 {
		c.i += n + 2
		return rest[:n:n], nil
	}
	return c.escaped()
}

func (c *cursor) escaped() ([]byte, error) {
	var out []byte
	for c.i++; c.i < len(c.b); c.i++ {
		switch b := c.b[c.i]; b {
		case '"':
			c.i++
			return out, nil
		case '\\':
			c.i++
			if c.i >= len(c.b) {
				return nil, c.syntax(errString)
			}
			var err error
			if out, err = c.escape(out); err != nil {
				return nil, err
			}
		default:
			out = append(out, b)
		}
	}
	return nil, c.syntax(errString)
}

// escape appends what the escape at the cursor stands for and leaves the cursor on its last byte.
func (c *cursor) escape(out []byte) ([]byte, error) {
	const from, to = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	if k := strings.IndexByte(from, c.b[c.i]); k >= 0 {
		return append(out, to[k]), nil
	}
	if c.b[c.i] != 'u' {
		return nil, c.syntax(errEscape)
	}
	r, ok := c.hex4(c.i + 1)
	if !ok {
		return nil, c.syntax(errEscape)
	}
	c.i += 4
	if utf16.IsSurrogate(r) {
		low, ok := rune(0), false
		if c.i+2 < len(c.b) && c.b[c.i+1] == '\\' && c.b[c.i+2] == 'u' {
			low, ok = c.hex4(c.i + 3)
		}
		if both := utf16.DecodeRune(r, low); ok && both != utf8.RuneError {
			r = both
			c.i += 6
		} else {
			r = utf8.RuneError
		}
	}
	return utf8.AppendRune(out, r), nil
}

func (c *cursor) hex4(at int) (rune, bool) {
	if at+4 > len(c.b) {
		return 0, false
	}
	var r rune
	for _, b := range c.b[at : at+4] {
		switch {
		case '0' <= b && b <= '9':
			b -= '0'
		case 'a' <= b|0x20 && b|0x20 <= 'f':
			b = (b | 0x20) - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(b)
	}
	return r, true
}

// bytesValue takes a string or {"b64": "…"}.
func (c *cursor) bytesValue() ([]byte, error) {
	if c.peek() == '"' {
		return c.string()
	}
	start := c.i
	var out []byte
	members := 0
	err := c.object(func(key []byte) error {
		members++
		if string(key) != "b64" || c.peek() != '"' {
			return Errorf(InvalidArgument, "JSON Value: %s not formatted correctly for base64 data", excerpt(c.b[start:]))
		}
		text, err := c.string()
		if err != nil {
			return err
		}
		if out, err = decodeBase64(text); err != nil {
			return Errorf(InvalidArgument, "Unable to base64 decode %s: %v", excerpt(text), err)
		}
		return nil
	})
	if err == nil && members != 1 {
		err = Errorf(InvalidArgument, "JSON Value: %s not formatted correctly for base64 data", excerpt(c.b[start:c.i]))
	}
	return out, err
}

func decodeBase64(text []byte) ([]byte, error) {
	text = bytes.TrimRight(text, "=")
	enc := base64.RawStdEncoding
	if bytes.ContainsAny(text, "-_") {
		enc = base64.RawURLEncoding
	}
	out := make([]byte, enc.DecodedLen(len(text)))
	n, err := enc.Decode(out, text)
	return out[:n], err
}
