package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
)

// scripted is a pod that sends what it is told, one answer for each call, and
// closes a connection after the answer "".
type scripted struct {
	listener net.Listener
	mu       sync.Mutex
	answers  []string
	dials    int
	got      []string
}

func script(t *testing.T, answers ...string) (*scripted, *pod) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &scripted{listener: l, answers: answers}
	t.Cleanup(func() { l.Close() })
	go s.serve()
	return s, &pod{name: "p", address: l.Addr().String()}
}

func (s *scripted) serve() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.dials++
		s.mu.Unlock()
		go s.talk(c)
	}
}

func (s *scripted) talk(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.got = append(s.got, r.Method+" "+r.RequestURI+" "+string(body))
		answer := ""
		if len(s.answers) > 0 {
			answer, s.answers = s.answers[0], s.answers[1:]
		}
		s.mu.Unlock()
		if answer == "" {
			return
		}
		if _, err := io.WriteString(c, answer); err != nil {
			return
		}
	}
}

func (s *scripted) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dials
}

func request(t *testing.T, body string) *call {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://x/a%20b?q=1", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer secret")
	r.Header.Set("X-Kept", "yes")
	r.Header.Set("Connection", "close")
	return newCall(r, r.URL.Path, []byte(body))
}

func TestPool_send(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
	cases := map[string]struct {
		answer, body, err string
		status            int
		reused            bool
	}{
		"Length":        {answer: ok, body: "hi", status: 200, reused: true},
		"Empty":         {answer: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", status: 200, reused: true},
		"NoContent":     {answer: "HTTP/1.1 204 No Content\r\n\r\n", status: 204, reused: true},
		"Chunked":       {answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\nX: y\r\n\r\n", body: "hi", status: 200, reused: true},
		"Interim":       {answer: "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok, body: "hi", status: 200, reused: true},
		"SaysClose":     {answer: "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nhi", body: "hi", status: 200},
		"OldProtocol":   {answer: "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", body: "hi", status: 200},
		"TooMuch":       {answer: ok + "more", body: "hi", status: 200},
		"BareLineFeeds": {answer: "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", body: "hi", status: 200, reused: true},
		"NotHTTP":       {answer: "SSH-2.0-x\r\n", err: "does not speak HTTP/1.1"},
		"BadHeader":     {answer: "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", err: "malformed header line"},
		"TwoLengths":    {answer: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhi", err: "ambiguous length"},
		"BothLengths":   {answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nhi", err: "ambiguous length"},
		"BadLength":     {answer: "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", err: "Content-Length"},
		"LongLine":      {answer: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 2*bufferSize) + "\r\n\r\n", err: "too long"},
		"LongHeader":    {answer: "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", 4000) + "\r\n", err: "header of more than"},
		"OnlyInterim":   {answer: strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 10), err: "interim"},
		"Nothing":       {answer: "", err: "EOF"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, to := script(t, c.answer, ok)
			p := newPool(clock.RealClock{})
			defer p.close()
			a, err := p.send(t.Context(), to, request(t, "body"))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(a.body)
			if err != nil || string(body) != c.body || a.status != c.status {
				t.Errorf("got %d %q, %v", a.status, body, err)
			}
			a.body.Close()
			second, err := p.send(t.Context(), to, request(t, ""))
			if err != nil {
				t.Fatal(err)
			}
			second.body.Close()
			if reused := s.count() == 1; reused != c.reused {
				t.Errorf("the connection was reused: %v, want %v", reused, c.reused)
			}
			if got := s.got[0]; got != "POST /a%20b?q=1 body" {
				t.Errorf("the pod got %q", got)
			}
		})
	}
}

func TestNewCall_keepsCredentialsBack(t *testing.T) {
	c := request(t, "")
	if c.header.Get("Authorization") != "" || c.header.Get("Connection") != "" || c.header.Get("X-Kept") != "yes" {
		t.Errorf("got %v", c.header)
	}
}

// A pod may close an idle connection at any time; nobody must notice.
func TestPool_send_outlivesClosedConnections(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	s, to := script(t, ok, "", ok)
	p := newPool(clock.RealClock{})
	defer p.close()
	for range 2 {
		a, err := p.send(t.Context(), to, request(t, "x"))
		if err != nil {
			t.Fatal(err)
		}
		a.body.Close()
	}
	if s.count() != 2 {
		t.Errorf("%d connections, want 2", s.count())
	}
}

func TestPool_send_bodyCutShort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi")
		c.Close()
	}()
	p := newPool(clock.RealClock{})
	a, err := p.send(t.Context(), &pod{address: l.Addr().String()}, request(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer a.body.Close()
	if b, err := io.ReadAll(a.body); err == nil {
		t.Errorf("got %q without an error", b)
	}
}

func TestPool_send_endsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := newPool(clock.RealClock{})
	for name, c := range map[string]struct {
		end  func(context.Context) (context.Context, context.CancelFunc)
		want error
	}{
		"TimeLimit": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 20*time.Millisecond)
		}, context.DeadlineExceeded},
		"ClientGone": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(20*time.Millisecond, cancel)
			return ctx, cancel
		}, context.Canceled},
	} {
		ctx, cancel := c.end(t.Context())
		if _, err := p.send(ctx, &pod{address: l.Addr().String()}, request(t, "")); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v", name, err)
		}
		cancel()
	}
}

func TestPool_closesWhatNobodyNeeds(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	s, to := script(t, ok, ok, ok, ok)
	now := clocktesting.NewFakeClock(time.Unix(1000, 0))
	p := newPool(now)
	send := func() *answer {
		a, err := p.send(t.Context(), to, request(t, ""))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	send().body.Close()
	now.Step(2 * idleTimeout)
	send().body.Close()
	if s.count() != 2 {
		t.Errorf("a connection that was idle for too long was used")
	}
	a := send()
	p.forget(to)
	a.body.Close()
	if len(p.idle) != 0 {
		t.Error("a connection to a pod that is gone was kept")
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n0\r\n\r\n")
	f.Add("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 204 x\r\n\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		near, far := net.Pipe()
		defer far.Close()
		k := &connection{Conn: near, pod: &pod{}, reader: bufio.NewReaderSize(strings.NewReader(text), bufferSize)}
		a, err := k.readHead()
		if err != nil {
			return
		}
		if a.status < 100 || a.status > 999 || a.length < -1 {
			t.Errorf("got %+v", a)
		}
		a.body.(*body).pool = newPool(clock.RealClock{})
		if b, err := io.ReadAll(a.body); err == nil && a.length >= 0 && int64(len(b)) != a.length {
			t.Errorf("%d bytes of %d without an error", len(b), a.length)
		}
		a.body.Close()
	})
}
