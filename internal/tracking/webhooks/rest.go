package webhooks

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

// Resource is what permissions are about: whoever makes a webhook lets the
// platform send to the outside.
const Resource = "webhooks"

// entityName and actionName travel in capitals or as numbers.
type (
	entityName string
	actionName string
	status     string
)

func setName(to *string, names []string, name string) bool {
	lower := strings.ToLower(name)
	if lower == "" || lower == name || !slices.Contains(names, lower) {
		return false
	}
	*to = lower
	return true
}

func setNumber(to *string, names []string, n int64) bool {
	if n < 1 || n >= int64(len(names)) {
		return false
	}
	*to = names[n]
	return true
}

func (e *entityName) SetName(name string) bool { return setName((*string)(e), entities, name) }
func (e *entityName) SetNumber(n int64) bool   { return setNumber((*string)(e), entities, n) }
func (e *actionName) SetName(name string) bool { return setName((*string)(e), actions, name) }
func (e *actionName) SetNumber(n int64) bool   { return setNumber((*string)(e), actions, n) }

var statuses = []string{"", "active", "disabled"}

func (e *status) SetName(name string) bool { return setName((*string)(e), statuses, name) }
func (e *status) SetNumber(n int64) bool   { return setNumber((*string)(e), statuses, n) }

type eventIn struct {
	Entity entityName `ml:"entity,required"`
	Action actionName `ml:"action,required"`
}

func eventsIn(list []eventIn) []event {
	return route.Convert(list, func(e eventIn) event { return event{string(e.Entity), string(e.Action)} })
}

type createIn struct {
	Name        string    `ml:"name,required" about:"- a text"`
	Description string    `ml:"description"`
	URL         string    `ml:"url,required"`
	Events      []eventIn `ml:"events,required"`
	Secret      string    `ml:"secret"`
	Status      status    `ml:"status"`
}

type listIn struct {
	Max   *int64 `ml:"max_results"`
	Token string `ml:"page_token"`
}

// byID takes the id of the webhook from the path.
type byID struct{ id string }

// FromPath implements mlwire.FromPath.
func (b *byID) FromPath(r *http.Request) { b.id = r.PathValue("webhook_id") }

type refIn struct{ byID }

type updateIn struct {
	byID

	Name        string    `ml:"name" about:"- a text"`
	Description *string   `ml:"description"`
	URL         string    `ml:"url"`
	Events      []eventIn `ml:"events"`
	Secret      *string   `ml:"secret"`
	Status      status    `ml:"status"`
}

type testIn struct {
	byID

	Event *eventIn `ml:"event"`
}

type webhookJSON webhook

// AppendJSON implements mlwire.Appender. The secret stays here.
func (v webhookJSON) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	w.Str("webhook_id", v.id)
	w.Str("name", v.name)
	w.OptStr("description", v.description)
	w.Str("url", v.url)
	mlwire.List(w, "events", route.Convert(v.events, func(e event) eventJSON { return eventJSON(e) }))
	w.Str("status", map[bool]string{true: "ACTIVE", false: "DISABLED"}[v.active])
	w.Int("creation_timestamp", v.created)
	w.Int("last_updated_timestamp", v.updated)
	w.End()
}

type eventJSON event

// AppendJSON implements mlwire.Appender.
func (e eventJSON) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	w.Str("entity", strings.ToUpper(e.entity))
	w.Str("action", strings.ToUpper(e.action))
	w.End()
}

// result of a test.
type result struct {
	success      bool
	status       int64
	body, reason string
}

// AppendJSON implements mlwire.Appender.
func (r result) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	w.Bool("success", r.success)
	if r.status != 0 {
		w.Int("response_status", r.status)
	}
	w.OptStr("response_body", r.body)
	w.OptStr("error_message", r.reason)
	w.End()
}

func call[Req, Resp any, PResp interface {
	*Resp
	mlwire.Appender
}](s *Service, method, path, verb, summary string, execute func(context.Context, *Req) (*Resp, error)) []server.Endpoint {
	return route.Call[Req, Resp, PResp](s.codec, route.Spec{Method: method, Path: route.V2 + "/webhooks" + path, Verb: verb, Resource: Resource, Summary: summary}, execute)
}

func one(w webhook, err error) (*route.One[webhookJSON], error) {
	return route.OneOf("webhook", webhookJSON(w), err)
}

// Endpoints are the routes.
func (s *Service) Endpoints() []server.Endpoint {
	return route.Flat(
		call(s, "POST", "", "create", "make a webhook", s.serveCreate),
		call(s, "GET", "", "list", "all webhooks", func(ctx context.Context, q *listIn) (*route.Many[webhookJSON], error) {
			if q.Max != nil && *q.Max == 0 {
				q.Max = nil // the default of clients that write every field
			}
			n, err := route.MaxResults(q.Max, 100, 1000)
			if err != nil {
				return nil, err
			}
			list, next, err := s.list(ctx, server.NamespaceOf(ctx), n, q.Token)
			return route.ManyOf("webhooks", list, next, err, func(w webhook) webhookJSON { return webhookJSON(w) })
		}),
		call(s, "GET", "/{webhook_id}", "get", "one webhook", func(ctx context.Context, q *refIn) (*route.One[webhookJSON], error) {
			return one(s.get(ctx, server.NamespaceOf(ctx), q.id))
		}),
		call(s, "PATCH", "/{webhook_id}", "update", "change a webhook", s.serveUpdate),
		call(s, "DELETE", "/{webhook_id}", "delete", "delete a webhook", func(ctx context.Context, q *refIn) (*route.Empty, error) {
			return route.Done(s.remove(ctx, server.NamespaceOf(ctx), q.id))
		}),
		call(s, "POST", "/{webhook_id}/test", "update", "send an example to a webhook", s.serveTest),
	)
}

func (s *Service) serveCreate(ctx context.Context, q *createIn) (*route.One[webhookJSON], error) {
	now := s.o.Clock().UnixMilli()
	w := webhook{
		id: s.uuid(), namespace: server.NamespaceOf(ctx), name: q.Name, url: q.URL, description: q.Description,
		active: q.Status != "disabled", created: now, updated: now, events: eventsIn(q.Events),
	}
	if err := s.check(ctx, &w.name, &w.url, &w.description, w.events); err != nil {
		return nil, err
	}
	var err error
	if w.secret, err = s.sealed(w.id, q.Secret); err != nil {
		return nil, err
	}
	return one(s.create(ctx, w))
}

// check looks at what of a webhook is given.
func (s *Service) check(ctx context.Context, name, address, description *string, events []event) error {
	if name != nil {
		if err := checkName(*name); err != nil {
			return err
		}
	}
	if description != nil && len(*description) > maxDescription {
		return model.Invalid("The description of the webhook is %d bytes long, the limit is %d.", len(*description), maxDescription)
	}
	if events != nil {
		if err := checkEvents(events); err != nil {
			return err
		}
	}
	if address != nil {
		return s.checkTarget(ctx, *address)
	}
	return nil
}

// maxSecret bounds a secret.
const maxSecret = 1000

func (s *Service) sealed(id, secret string) (string, error) {
	if len(secret) > maxSecret {
		return "", model.Invalid("The secret of the webhook is %d bytes long, the limit is %d.", len(secret), maxSecret)
	}
	text, err := s.vault.seal(id, secret)
	if err != nil {
		e := server.Errorf(http.StatusBadRequest, "INVALID_STATE", "The secret cannot be stored, because the server has no key to encrypt it with.")
		e.Remedy, e.Cause = "set MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY on the server, or leave the secret out", err
		return "", e
	}
	return text, nil
}

func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (s *Service) serveUpdate(ctx context.Context, q *updateIn) (*route.One[webhookJSON], error) {
	name, address := given(q.Name), given(q.URL)
	var events []event
	if len(q.Events) > 0 {
		events = eventsIn(q.Events)
	}
	if err := s.check(ctx, name, address, q.Description, events); err != nil {
		return nil, err
	}
	var secret string
	if q.Secret != nil {
		var err error
		if secret, err = s.sealed(q.id, *q.Secret); err != nil {
			return nil, err
		}
	}
	return one(s.change(ctx, server.NamespaceOf(ctx), q.id, func(w *webhook) {
		if name != nil {
			w.name = *name
		}
		if address != nil {
			w.url = *address
		}
		if q.Description != nil {
			w.description = *q.Description
		}
		if events != nil {
			w.events = events
		}
		if q.Secret != nil {
			w.secret = secret
		}
		if q.Status != "" {
			w.active = q.Status == "active"
		}
	}))
}

// serveTest sends one example, without repetitions, and tells what came back.
func (s *Service) serveTest(ctx context.Context, q *testIn) (*route.One[result], error) {
	w, err := s.get(ctx, server.NamespaceOf(ctx), q.id)
	if err != nil {
		return nil, err
	}
	e := w.events[0]
	if q.Event != nil {
		if e = (event{string(q.Event.Entity), string(q.Event.Action)}); e.check() != nil {
			return nil, e.check()
		}
	}
	select {
	case s.tests <- struct{}{}:
		defer func() { <-s.tests }()
	default:
		return nil, server.Errorf(http.StatusTooManyRequests, "REQUEST_LIMIT_EXCEEDED", "%d webhooks are being tested at the moment; try again when they are done.", cap(s.tests))
	}
	body, err := s.body(e, w.namespace, e.example())
	if err != nil {
		return nil, err
	}
	a, err := s.send(ctx, message{id: s.uuid(), webhook: w.id, url: w.url, secret: w.secret, event: e.String(), body: body})
	if err != nil {
		return route.OneOf("result", result{reason: "Failed to test webhook: " + err.Error()}, nil)
	}
	return route.OneOf("result", result{success: a.status < http.StatusMultipleChoices, status: int64(a.status), body: a.body}, nil)
}
