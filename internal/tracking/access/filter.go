package access

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	db "github.com/kiwerk/kiwerk/internal/store"
)

// filter says how the list in an answer is judged.
type filter struct {
	list  string
	kinds []string
	keys  func(item) []key
	// keep judges instead of keys.
	keep func(*caller, item) bool
}

// item is what is needed of an element.
type item struct {
	ID   string `json:"experiment_id"`
	Name string `json:"name"`
	Tags []struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	} `json:"tags"`
}

func (i item) prompt() bool {
	for _, t := range i.Tags {
		if t.Key == "mlflow.prompt.is_prompt" && strings.EqualFold(t.Value, "true") {
			return true
		}
	}
	return false
}

func (i item) model() key {
	if i.prompt() {
		return key{kindPrompt, i.Name}
	}
	return key{kindRegistered, i.Name}
}

var filters = map[string]filter{
	"workspaces":               {list: "workspaces", keep: func(c *caller, i item) bool { return c.sees(i.Name) }},
	"experiments/search":       {list: "experiments", kinds: []string{kindExperiment}, keys: func(i item) []key { return []key{{kindExperiment, i.ID}} }},
	"registered-models/search": {list: "registered_models", kinds: []string{kindRegistered, kindPrompt}, keys: func(i item) []key { return []key{i.model()} }},
	"model-versions/search": {list: "model_versions", kinds: []string{kindRegistered, kindPrompt, tierVersion, tierPrompt}, keys: func(i item) []key {
		m := i.model()
		return []key{{m.kind + "_version", everything}, m}
	}},
}

// recorder keeps an answer.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newRecorder() *recorder { return &recorder{header: http.Header{}, status: http.StatusOK} }

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) { r.status = status }

// Write implements http.ResponseWriter.
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

func (r *recorder) send(w http.ResponseWriter) {
	for k, v := range r.header {
		w.Header()[k] = v
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body.Bytes()) // the client has gone; there is nobody to tell
}

// elements are the list of an answer and the token of the next page; an error has none.
func (r *recorder) elements(name string) (list []json.RawMessage, token string, ok bool) {
	var fields map[string]json.RawMessage
	if r.status != http.StatusOK || json.Unmarshal(r.body.Bytes(), &fields) != nil {
		return nil, "", false
	}
	if raw, given := fields[name]; given && json.Unmarshal(raw, &list) != nil {
		return nil, "", false
	}
	if raw, given := fields["next_page_token"]; given && json.Unmarshal(raw, &token) != nil {
		return nil, "", false
	}
	return list, token, true
}

// maxPages bounds how far a search goes for one answer.
const maxPages = 50

// filtered answers with what the caller may read. A page that lost elements is
// filled with those that follow; it is short when they are the last, or when
// maxPages were looked through. Then its token leads on.
func (s *Service) filtered(c *caller, q *request, f filter, h http.Handler, w http.ResponseWriter) {
	var kept []json.RawMessage
	size, token := 0, ""
	for n := range maxPages {
		missing := 0
		if n > 0 {
			missing = size - len(kept)
		}
		page := newRecorder()
		h.ServeHTTP(page, q.page(missing, token))
		list, next, ok := page.elements(f.list)
		if !ok {
			page.send(w)
			return
		}
		if n == 0 {
			size = len(list)
		}
		for _, raw := range list {
			if c.keeps(f, raw) {
				kept = append(kept, raw)
			}
		}
		if token = next; token == "" || len(kept) >= size {
			break
		}
	}
	answer := map[string]any{}
	if len(kept) > 0 {
		answer[f.list] = kept
	}
	if token != "" {
		answer["next_page_token"] = token
	}
	reply(w, answer)
}

func (c *caller) keeps(f filter, raw json.RawMessage) bool {
	var i item
	if json.Unmarshal(raw, &i) != nil {
		return false
	}
	if f.keep != nil {
		return f.keep(c, i)
	}
	keys := f.keys(i)
	return c.need(actRead, keys[len(keys)-1]) == nil && c.need(actRead, keys...) == nil
}

// page is the request for another page; 0 and "" leave what the client asked for.
func (q *request) page(size int, token string) *http.Request {
	r := q.Clone(q.Context())
	r.Body = io.NopCloser(bytes.NewReader(q.body))
	if size == 0 {
		return r
	}
	if values := r.URL.Query(); len(values) > 0 && r.Method == http.MethodGet {
		values.Set("max_results", strconv.Itoa(size))
		values.Set("page_token", token)
		r.URL.RawQuery = values.Encode()
		return r
	}
	fields := map[string]any{}
	if body := bytes.TrimSpace(q.body); len(body) > 0 {
		var inner string
		if json.Unmarshal(body, &inner) == nil {
			body = []byte(inner)
		}
		_ = json.Unmarshal(body, &fields) // the first page was answered, so it is an object
	}
	fields["max_results"], fields["page_token"] = size, token
	b, err := json.Marshal(fields)
	if err != nil {
		return r
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	return r
}

// after keeps the grants in step with the objects: who makes one may manage
// it, one that is deleted takes its grants along, a renamed one keeps them.
func (s *Service) after(method, path string, h http.Handler) http.Handler {
	var follow func(*caller, *request, item) error
	switch method + " " + path {
	case "POST experiments/create":
		follow = func(c *caller, _ *request, made item) error {
			return s.own(c, key{kindExperiment, made.ID})
		}
	case "POST registered-models/create":
		follow = func(c *caller, _ *request, made item) error { return s.own(c, made.model()) }
	case "DELETE registered-models/delete":
		follow = func(c *caller, q *request, _ item) error { return s.moved(c, q.all("name"), "") }
	case "POST registered-models/rename":
		follow = func(c *caller, q *request, _ item) error {
			if to := q.all("new_name"); len(to) == 1 {
				return s.moved(c, q.all("name"), to[0])
			}
			return nil
		}
	case "DELETE workspaces/{workspace_name}":
		follow = func(c *caller, q *request, _ item) error {
			return s.update(c.ctx, func(t *db.Tx) error {
				return Gone(t, q.PathValue("workspace_name")) // again, so that what is known of them is forgotten at once
			})
		}
	default:
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, err := readRequest(r, true, nil)
		if err != nil {
			h.ServeHTTP(w, r) // it says what is wrong
			return
		}
		answer := newRecorder()
		h.ServeHTTP(answer, r)
		if answer.status < http.StatusMultipleChoices {
			who, err := s.subject(r.Context(), userName(r))
			if err == nil {
				err = follow(&caller{s, r.Context(), who, workspaceOf(r)}, q, madeOf(answer.body.Bytes()))
			}
			if err != nil {
				s.o.Codec.Error(w, r, err)
				return
			}
		}
		answer.send(w)
	})
}

// madeOf reads what a call has made, with or without its envelope.
func madeOf(body []byte) (made item) {
	var envelope struct {
		item
		Model item `json:"registered_model"`
	}
	if json.Unmarshal(body, &envelope) != nil {
		return item{}
	}
	if envelope.Model.Name != "" {
		return envelope.Model
	}
	return envelope.item
}

// own lets the maker of an object manage it.
func (s *Service) own(c *caller, k key) error {
	if k.id == "" {
		return nil
	}
	return s.update(c.ctx, func(t *db.Tx) error { return putGrant(t, c.who.ID, c.workspace, k.kind, k.id, Manage) })
}

// moved removes the grants of models, or gives them to another name.
func (s *Service) moved(c *caller, names []string, to string) error {
	slices.Sort(names)
	names = slices.Compact(names)
	return s.update(c.ctx, func(t *db.Tx) error {
		for _, name := range names {
			for _, kind := range []string{kindRegistered, kindPrompt} {
				err := error(nil)
				switch to {
				case "":
					err = dropGrants(t, c.workspace, kind, name)
				case name:
				default:
					err = renameGrants(t, c.workspace, kind, name, to)
				}
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
}
