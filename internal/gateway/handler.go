package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/wire"
)

const maxAttempts = 4

// exchange is one request from its arrival to its answer.
type exchange struct {
	g      *Gateway
	w      http.ResponseWriter
	r      *http.Request
	target target
	id     string
	begun  time.Time
	body   []byte
}

func (g *Gateway) predict(w http.ResponseWriter, r *http.Request, t target) {
	g.infers(w, r, t, false)
}

func (g *Gateway) infer(w http.ResponseWriter, r *http.Request, t target) { g.infers(w, r, t, true) }

// infers forwards a request that is recorded.
func (g *Gateway) infers(w http.ResponseWriter, r *http.Request, t target, oip bool) {
	x, ok := g.open(w, r, t)
	if !ok {
		return
	}
	x.serve(func(a *answer, c choice, body []byte) {
		if a.status != http.StatusOK || body == nil {
			return
		}
		g.queue.put(seen{
			prediction: common(t.key, c, x.id, x.begun), infer: oip,
			request: x.body, response: body, requestHeader: r.Header, responseHeader: a.header,
		})
	})
}

// ask forwards a question about the model.
func (g *Gateway) ask(w http.ResponseWriter, r *http.Request, t target) {
	if x, ok := g.open(w, r, t); ok {
		x.serve(func(*answer, choice, []byte) {})
	}
}

// open reads the request.
func (g *Gateway) open(w http.ResponseWriter, r *http.Request, t target) (*exchange, bool) {
	now := g.deps.Clock.Now()
	x := &exchange{g: g, w: w, r: r, target: t, begun: now, id: newID(now, g.deps.Random)}
	w.Header().Set(HeaderPredictionID, x.id)
	if g.table.get(t.key) == nil {
		x.fail(server.NotFound("there is no InferenceService %s in project %s", t.name, t.namespace))
		return nil, false
	}
	var err error
	if n := r.ContentLength; n > 0 && n <= g.limits.MaxBody {
		x.body = make([]byte, n)
		_, err = io.ReadFull(r.Body, x.body)
	} else if n != 0 {
		x.body, err = io.ReadAll(r.Body)
	}
	if err != nil {
		var tooLarge *http.MaxBytesError
		if !errors.As(err, &tooLarge) {
			err = server.Invalid("the body cannot be read: %w", err)
		}
		x.fail(err)
		return nil, false
	}
	return x, true
}

// serve sends the request to pods until one answers.
func (x *exchange) serve(answered func(*answer, choice, []byte)) {
	e := x.g.table.get(x.target.key)
	timeout := x.g.limits.Timeout
	if e != nil && e.timeout > 0 {
		timeout = e.timeout
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), timeout)
	defer cancel()
	c := newCall(x.r, x.target.path, x.body)
	var tried []*pod
	for {
		to, err := x.pick(ctx, tried)
		if err != nil {
			x.fail(err)
			return
		}
		a, err := x.send(ctx, to, c)
		if err == nil && (a.status != http.StatusServiceUnavailable || len(tried)+1 >= maxAttempts || !x.other(append(tried, to.pod))) {
			x.deliver(ctx, to, a, answered)
			to.pod.inflight.Add(-1)
			return
		}
		to.pod.inflight.Add(-1)
		if err == nil {
			a.body.Close()
			err = errUnavailable
		}
		if tried = append(tried, to.pod); len(tried) >= maxAttempts || !again(ctx, err) {
			x.fail(x.reason(ctx, timeout, err))
			return
		}
		x.g.metrics.retries.Inc()
	}
}

var errUnavailable = errors.New("the pod answered 503")

func (x *exchange) send(ctx context.Context, to choice, c *call) (*answer, error) {
	to.pod.inflight.Add(1)
	return x.g.forward.send(ctx, to.pod, c)
}

// other tells whether there is a pod that was not tried.
func (x *exchange) other(tried []*pod) bool {
	e := x.g.table.get(x.target.key)
	if e == nil {
		return false
	}
	_, ok := e.pick(x.g.deps.Random, x.target.version, tried)
	return ok
}

// pick chooses a pod, and waits for one if there is none. The state is looked
// up each time, because it may have changed since the last attempt. A pod that
// was tried is tried again only when the state of the endpoint has changed.
// Where only the user can mend it, nobody waits.
func (x *exchange) pick(ctx context.Context, tried []*pod) (choice, error) {
	var patience <-chan time.Time
	for {
		e := x.g.table.get(x.target.key)
		if e == nil {
			return choice{}, server.NotFound("there is no InferenceService %s in project %s", x.target.name, x.target.namespace)
		}
		if c, ok := e.pick(x.g.deps.Random, x.target.version, tried); ok {
			return c, nil
		}
		if v := x.target.version; v != "" && !e.has(v) {
			return choice{}, server.NotFound("Servable not found for request: Specific(%s, %s)", x.target.name, v)
		}
		if e.hopeless {
			return choice{}, x.none(e)
		}
		if patience == nil {
			timer := x.g.deps.Clock.NewTimer(x.g.limits.Pending)
			defer timer.Stop()
			patience = timer.C()
		}
		select {
		case <-e.changed:
			tried = nil
		case <-patience:
			return choice{}, x.none(e)
		case <-ctx.Done():
			return choice{}, x.none(e)
		}
	}
}

// none says why no pod can answer. Whom waiting does not help is not asked to come back.
func (x *exchange) none(e *endpoint) error {
	if !e.hopeless {
		x.w.Header().Set("Retry-After", "1")
	}
	why := "it has no revision that is rolled out yet"
	if len(e.revisions) > 0 {
		why = "none of its pods is ready"
	}
	if e.why != "" {
		why += " (" + e.why + ")"
	}
	err := server.Errorf(http.StatusServiceUnavailable, "UNAVAILABLE", "InferenceService %s in project %s cannot answer: %s", x.target.name, x.target.namespace, why)
	err.Remedy = "kiwerk kubectl describe inferenceservice " + x.target.name + " -n " + x.target.namespace
	return err
}

// reason tells the client why there is no answer.
func (x *exchange) reason(ctx context.Context, timeout time.Duration, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return server.Errorf(http.StatusGatewayTimeout, "DEADLINE_EXCEEDED", "no answer within %s", timeout)
	}
	x.g.deps.Logger.WarnContext(ctx, "no pod answered", "namespace", x.target.namespace, "endpoint", x.target.name, "error", err)
	return server.Errorf(http.StatusBadGateway, "UNAVAILABLE", "no pod of InferenceService %s answered", x.target.name)
}

// deliver passes the answer on. It is read before it is sent if it is small
// enough to be recorded, so that nobody gets half of it.
func (x *exchange) deliver(ctx context.Context, to choice, a *answer, answered func(*answer, choice, []byte)) {
	defer a.body.Close()
	var body []byte
	if a.length >= 0 && a.length <= x.g.limits.MaxBody {
		body = make([]byte, a.length)
		if _, err := io.ReadFull(a.body, body); err != nil {
			x.fail(x.reason(ctx, x.g.limits.Timeout, err))
			return
		}
	}
	h := x.w.Header()
	returned(h, a.header)
	h[HeaderPredictionID] = []string{x.id}
	h[HeaderRevision] = []string{to.revision.name}
	if to.revision.version != "" {
		h[HeaderModelVersion] = []string{to.revision.version}
	}
	// Recorded before it is sent: who has the answer may send a label for it.
	answered(a, to, body)
	x.w.WriteHeader(a.status)
	if body != nil {
		_, _ = x.w.Write(body) // the client has gone; there is nobody to tell
	} else {
		_, _ = io.Copy(x.w, a.body) // as above
	}
	x.count(to.revision.name, a.status)
}

// count notes how the request ended.
func (x *exchange) count(revision string, status int) {
	x.g.metrics.done(x.target.key, revision, status, x.g.deps.Clock.Since(x.begun).Seconds())
	if x.g.table.get(x.target.key) == nil { // the endpoint went meanwhile, and its series must not come back
		x.g.metrics.forget(x.target.key)
	}
}

func (x *exchange) fail(err error) {
	codec{}.Error(x.w, x.r, err)
	if x.g.table.get(x.target.key) == nil {
		return // a name that anybody can make up is no series
	}
	x.count("", server.AsError(err).Status)
}

// has tells whether a version gets requests.
func (e *endpoint) has(version string) bool {
	return slices.ContainsFunc(e.revisions, func(r *revision) bool { return r.percent > 0 && r.version == version })
}

// hasReady tells whether a request would be answered at once.
func (e *endpoint) hasReady(version string) bool {
	return slices.ContainsFunc(e.revisions, func(r *revision) bool { return r.percent > 0 && r.serves(version) && len(r.pods) > 0 })
}

// codec has the error envelope of both protocols.
type codec struct{ server.JSONCodec }

// Error writes {"error": text}. Clients of KServe read it only if the type is exactly this.
func (codec) Error(w http.ResponseWriter, _ *http.Request, err error) {
	e := server.AsError(err)
	text := e.Message
	if e.Remedy != "" {
		text += "; " + e.Remedy
	}
	body, _ := wire.AppendError(nil, wire.Errorf(wire.Internal, "%s", text))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(e.Status)
	_, _ = w.Write(body) // the client has gone; there is nobody to tell
}
