package access

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// named are the fields whose values say what a request is about.
var named = map[string]bool{
	"experiment_id": true, "experiment_ids": true, "experiment_name": true,
	"run_id": true, "run_uuid": true, "run_ids": true, "source_run_id": true,
	"model_id": true, "model_ids": true, "source_model_id": true,
	"trace_id": true, "trace_ids": true, "request_id": true, "request_ids": true,
	"name": true, "new_name": true, "source": true, "path": true, "page_token": true, "max_results": true,
}

// spellings lead from both ways to write a field, run_id and runId, to the first.
var spellings = func() map[string]string {
	m := map[string]string{}
	for name := range named {
		m[name], m[mlwire.Camel(name)] = name, name
	}
	return m
}()

// request is what was found in one.
type request struct {
	*http.Request
	body   []byte
	fields map[string][]string
}

// readRequest finds the named fields in path, query and body, at any depth, in
// both spellings and however often: all of them must be allowed, so it does not matter which of
// two the handler takes. The body can be read again afterwards.
func readRequest(r *http.Request, withBody bool, pathValues []string) (*request, error) {
	q := &request{Request: r, fields: map[string][]string{}}
	for _, name := range pathValues {
		q.add(name, r.PathValue(name))
	}
	for name, values := range r.URL.Query() {
		for _, v := range values {
			q.add(name, v)
		}
	}
	if !withBody || r.Body == nil {
		return q, nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	q.body = body
	r.Body = io.NopCloser(bytes.NewReader(body))
	if err := q.scan(bytes.TrimSpace(body)); err != nil {
		return nil, model.Invalid("The request body is not valid JSON: %w.", err)
	}
	return q, nil
}

func (q *request) add(name, value string) {
	if name := spellings[name]; name != "" && value != "" {
		q.fields[name] = append(q.fields[name], value)
	}
}

// all values of some fields.
func (q *request) all(names ...string) (list []string) {
	for _, n := range names {
		list = append(list, q.fields[n]...)
	}
	return list
}

var (
	errJSON  = errors.New("it is cut off or malformed")
	errDepth = errors.New("it is nested too deeply")
)

const maxDepth = 100

// scan walks a body. Old clients send a JSON string that holds the object.
func (q *request) scan(body []byte) error {
	if len(body) > 0 && body[0] == '"' {
		var inner string
		if err := json.Unmarshal(body, &inner); err != nil {
			return errJSON
		}
		body = []byte(strings.TrimSpace(inner))
	}
	if len(body) == 0 {
		return nil
	}
	s := scanner{b: body, q: q}
	if err := s.value("", 0); err != nil {
		return err
	}
	s.blank()
	if s.i != len(s.b) {
		return errJSON
	}
	return nil
}

// scanner reads JSON once and keeps only what is named.
type scanner struct {
	b []byte
	i int
	q *request
}

func (s *scanner) blank() {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\n' || s.b[s.i] == '\t' || s.b[s.i] == '\r') {
		s.i++
	}
}

func (s *scanner) next() byte {
	s.blank()
	if s.i >= len(s.b) {
		return 0
	}
	return s.b[s.i]
}

// value reads one; field is the name that it belongs to, also within lists.
func (s *scanner) value(field string, depth int) error {
	if depth > maxDepth {
		return errDepth
	}
	switch s.next() {
	case '{':
		return s.object(depth)
	case '[':
		return s.list(field, depth)
	case '"':
		text, err := s.text(spellings[field] != "")
		if err == nil {
			s.q.add(field, text)
		}
		return err
	case 0:
		return errJSON
	}
	begin := s.i
	for s.i < len(s.b) && !strings.ContainsRune(",]} \n\t\r", rune(s.b[s.i])) {
		s.i++
	}
	if s.i == begin {
		return errJSON
	}
	if word := string(s.b[begin:s.i]); word != "null" {
		s.q.add(field, word)
	}
	return nil
}

func (s *scanner) object(depth int) error {
	s.i++
	if s.next() == '}' {
		s.i++
		return nil
	}
	for {
		if s.next() != '"' {
			return errJSON
		}
		name, err := s.text(true)
		if err != nil {
			return err
		}
		if s.next() != ':' {
			return errJSON
		}
		s.i++
		if err := s.value(name, depth+1); err != nil {
			return err
		}
		if end, err := s.more('}'); end || err != nil {
			return err
		}
	}
}

func (s *scanner) list(field string, depth int) error {
	s.i++
	if s.next() == ']' {
		s.i++
		return nil
	}
	for {
		if err := s.value(field, depth+1); err != nil {
			return err
		}
		if end, err := s.more(']'); end || err != nil {
			return err
		}
	}
}

// more reads a comma or the end.
func (s *scanner) more(closing byte) (end bool, err error) {
	switch s.next() {
	case ',':
		s.i++
		return false, nil
	case closing:
		s.i++
		return true, nil
	}
	return false, errJSON
}

// text reads a string; its value is needed only if wanted.
func (s *scanner) text(wanted bool) (string, error) {
	begin, plain := s.i, true
	for s.i++; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; {
		case c == '\\':
			plain = false
			s.i++
		case c >= utf8.RuneSelf:
			plain = false // the decoder mends what is not UTF-8
		case c == '"':
			s.i++
			if !wanted {
				return "", nil
			}
			if plain {
				return string(s.b[begin+1 : s.i-1]), nil
			}
			var v string
			if json.Unmarshal(s.b[begin:s.i], &v) != nil {
				return "", errJSON
			}
			return v, nil
		}
	}
	return "", errJSON
}

// experimentKey is an experiment id as it is stored: clients may write zeros before it.
func experimentKey(id string) (string, bool) {
	n, err := strconv.ParseInt(id, 10, 64)
	return strconv.FormatInt(n, 10), err == nil
}
