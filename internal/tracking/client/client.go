package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Options of a client. Only URI is required.
type Options struct {
	// URI is the server's http or https address, with the prefix that a proxy puts before it.
	URI string
	// Workspace is the project that each request is about; empty is the server's default.
	Workspace string
	// Token is a bearer token. Without one, Username and Password are basic authentication.
	Token, Username, Password string
	// HTTP carries the requests; nil is [http.DefaultTransport] without a time limit for whole answers.
	HTTP *http.Client
	// Attempts bounds how often a request is sent in all; 0 means 6.
	Attempts int
	// Pause waits between attempts; nil waits by the clock.
	Pause func(ctx context.Context, d time.Duration) error
}

// Client talks to one tracking server. It may be used by many goroutines.
type Client struct {
	o    Options
	base *url.URL
}

const (
	attempts   = 6
	firstPause = 200 * time.Millisecond
	maxPause   = 30 * time.Second
	// maxError bounds what is read of a refusal.
	maxError = 64 << 10
)

// New checks the options; it asks nothing yet.
func New(o Options) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(o.URI, "/"))
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("%w: %q", ErrURI, o.URI)
	}
	if base.User != nil {
		if o.Token == "" && o.Username == "" {
			o.Username = base.User.Username()
			o.Password, _ = base.User.Password()
		}
		base.User = nil
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{}
	}
	if o.Attempts == 0 {
		o.Attempts = attempts
	}
	if o.Pause == nil {
		o.Pause = pause
	}
	return &Client{o: o, base: base}, nil
}

// ErrURI: an address is none of a tracking server that speaks HTTP.
var ErrURI = errors.New("the tracking server's address must begin with http:// or https://")

// URI is the address of the server.
func (c *Client) URI() string { return c.base.String() }

// Workspace is the project that requests are about.
func (c *Client) Workspace() string { return c.o.Workspace }

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Request is one call.
type Request struct {
	Method string
	// Path follows the server's address and is not escaped.
	Path  string
	Query url.Values
	// Body is sent as JSON unless it is nil.
	Body any
	// Header is sent as well.
	Header http.Header
	// Reads says that the call changes nothing although its method is not GET.
	Reads bool
}

// MLflow is the path of a call of the API in version 2.
func MLflow(call string) string { return "/api/2.0/mlflow/" + call }

// Do sends a request and reads the JSON of a successful answer, unless answer is nil.
func (c *Client) Do(ctx context.Context, q Request, answer any) error {
	resp, err := c.Send(ctx, q)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if answer == nil {
		_, err := io.Copy(io.Discard, resp.Body)
		return err
	}
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		return fmt.Errorf("%s %s: the answer is not the JSON of MLflow's API: %w", q.Method, q.Path, err)
	}
	return nil
}

// Send sends a request until it is answered; the caller closes the body of a successful answer.
func (c *Client) Send(ctx context.Context, q Request) (*http.Response, error) {
	var body []byte
	if q.Body != nil {
		var err error
		if body, err = json.Marshal(q.Body); err != nil {
			return nil, err
		}
	}
	wait := firstPause
	for attempt := 1; ; attempt++ {
		resp, err := c.once(ctx, q, body)
		if err == nil {
			return resp, nil
		}
		after, again := retry(err, q.Method == http.MethodGet || q.Reads)
		if !again || attempt >= c.o.Attempts || ctx.Err() != nil {
			return nil, err
		}
		if err := c.o.Pause(ctx, min(max(wait, after), maxPause)); err != nil {
			return nil, err
		}
		wait *= 2
	}
}

// retry tells whether a request is sent again, and how long the server asks to wait.
func retry(err error, reads bool) (after time.Duration, again bool) {
	var refused *Error
	if !errors.As(err, &refused) {
		return 0, reads && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
	}
	switch refused.Status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return refused.RetryAfter, true
	case http.StatusRequestTimeout, http.StatusBadGateway, http.StatusGatewayTimeout:
		return 0, reads
	}
	return 0, false
}

func (c *Client) once(ctx context.Context, q Request, body []byte) (*http.Response, error) {
	u := c.base.JoinPath(escape(q.Path))
	u.RawQuery = q.Query.Encode()
	var content io.Reader = http.NoBody
	if body != nil {
		content = bytes.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, q.Method, u.String(), content)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return c.exchange(r, q)
}

// exchange sends r with who we are and turns a refusal into an error.
func (c *Client) exchange(r *http.Request, q Request) (*http.Response, error) {
	for k, v := range q.Header {
		r.Header[k] = v
	}
	if c.o.Workspace != "" {
		r.Header.Set("X-Mlflow-Workspace", c.o.Workspace)
	}
	switch {
	case c.o.Token != "":
		r.Header.Set("Authorization", "Bearer "+c.o.Token)
	case c.o.Username != "":
		r.SetBasicAuth(c.o.Username, c.o.Password)
	}
	resp, err := c.o.HTTP.Do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < http.StatusMultipleChoices {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, refusal(resp, q)
}

// escape keeps a path with its slashes; JoinPath would take a percent sign for an escape.
func escape(path string) string { return (&url.URL{Path: path}).EscapedPath() }

// Error is what a server refused.
type Error struct {
	// Status of HTTP, Code of MLflow (RESOURCE_DOES_NOT_EXIST …) and Message of the server.
	Status        int
	Code, Message string
	// Remedy is what the server says to do; Basic that it asks for a name and a password.
	Remedy string
	Basic  bool
	// Method and Path of the call.
	Method, Path string
	// RetryAfter is how long the server asks to wait.
	RetryAfter time.Duration
}

// Error is the server's message with the call.
func (e *Error) Error() string {
	said := fmt.Sprintf("%s %s: %d %s: %s", e.Method, e.Path, e.Status, e.Code, e.Message)
	if e.Remedy != "" {
		said = strings.TrimSuffix(said, ".") + "; " + e.Remedy
	}
	return said
}

// IsNotFound tells whether what was asked for does not exist.
func IsNotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}

// IsUnknownRoute tells whether the server does not know or not serve the call at all.
func IsUnknownRoute(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Status == http.StatusNotImplemented || e.Status == http.StatusMethodNotAllowed ||
		e.Status == http.StatusNotFound && (e.Code == "" || e.Code == "ENDPOINT_NOT_FOUND" || e.Code == "NOT_FOUND"))
}

func refusal(resp *http.Response, q Request) error {
	scheme, _, _ := strings.Cut(resp.Header.Get("WWW-Authenticate"), " ")
	e := &Error{Status: resp.StatusCode, Method: q.Method, Path: q.Path, Basic: strings.EqualFold(scheme, "Basic")}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxError))
	var said struct {
		Code    string          `json:"error_code"`
		Message string          `json:"message"`
		Error   json.RawMessage `json:"error"` // ours: {"code","message"}
	}
	if err != nil || json.Unmarshal(b, &said) != nil {
		e.Message = strings.TrimSpace(fmt.Sprintf("%s %.300s", resp.Status, b))
		return e
	}
	e.Code, e.Message = said.Code, said.Message
	var ours struct{ Code, Message, Remedy string }
	if e.Message == "" && json.Unmarshal(said.Error, &ours) == nil {
		e.Code, e.Message, e.Remedy = ours.Code, ours.Message, ours.Remedy
	}
	if e.Message == "" {
		e.Message = resp.Status
	}
	return e
}

// Version is the release of MLflow that the server says it is.
func (c *Client) Version(ctx context.Context) (string, error) {
	resp, err := c.Send(ctx, Request{Method: http.MethodGet, Path: "/version"})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxError))
	return strings.TrimSpace(string(b)), err
}
