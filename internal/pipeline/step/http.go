package step

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A client of HTTP/1.1 for one server: one request a connection, no redirects,
// no proxies. net/http would make the agent, which lies in every container,
// larger by a fifth.

const (
	dialTimeout = 10 * time.Second
	// idleTimeout bounds the wait for the next byte in either direction.
	idleTimeout = 5 * time.Minute
	// continueTimeout is how long we wait to be told to send a body.
	continueTimeout = 2 * time.Second
	maxHeaders      = 64 << 10
	maxInterim      = 10
)

type response struct {
	status int
	text   string            // of the status line
	header map[string]string // by names in lower case
	body   io.Reader
	conn   net.Conn
	stop   func() bool
}

// Close ends the connection.
func (r *response) Close() error {
	r.stop()
	return r.conn.Close()
}

// request sends one request. A body is sent in chunks, after the server has
// agreed to take it.
func request(ctx context.Context, method, address string, header map[string]string, body io.Reader) (*response, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	head, err := requestHead(method, u, header, body != nil)
	if err != nil {
		return nil, err
	}
	conn, err := dial(ctx, u)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	resp, err := exchange(conn, head, body)
	if err != nil {
		stop()
		return nil, errors.Join(fmt.Errorf("%s %s: %w", method, u.Redacted(), err), ctx.Err(), conn.Close())
	}
	resp.conn, resp.stop = conn, stop
	return resp, nil
}

func requestHead(method string, u *url.URL, header map[string]string, body bool) (string, error) {
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nUser-Agent: kiwerk-agent\r\n", method, path, u.Host)
	for k, v := range header {
		if strings.ContainsAny(k+v, "\r\n\x00") {
			return "", fmt.Errorf("header %q holds a control character", k)
		}
		fmt.Fprintf(&b, "%s: %s\r\n", k, v)
	}
	if body {
		b.WriteString("Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n")
	}
	b.WriteString("\r\n")
	return b.String(), nil
}

func dial(ctx context.Context, u *url.URL) (net.Conn, error) {
	port := u.Port()
	secure := u.Scheme == "https"
	switch {
	case u.Scheme != "http" && !secure, u.Hostname() == "":
		return nil, final{fmt.Errorf("address %q: only http and https with a host are known", u.Redacted())}
	case port == "" && secure:
		port = "443"
	case port == "":
		port = "80"
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, err
	}
	conn = idleConn{conn}
	if !secure {
		return conn, nil
	}
	t := tls.Client(conn, &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12})
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return t, nil
}

// idleConn gives up when nothing moves.
type idleConn struct{ net.Conn }

func (c idleConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(idleTimeout)); err != nil { // deadlines of sockets are points in real time
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c idleConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(idleTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func exchange(conn net.Conn, head string, body io.Reader) (*response, error) {
	if _, err := io.WriteString(conn, head); err != nil {
		return nil, err
	}
	answers := make(chan answer, 1)
	in := bufio.NewReader(conn)
	if body == nil {
		return readResponse(in)
	}
	agreed := make(chan struct{})
	go func() {
		resp, err := readInterim(in, agreed)
		answers <- answer{resp, err}
	}()
	timer := time.NewTimer(continueTimeout)
	defer timer.Stop()
	select {
	case a := <-answers: // refused before anything was sent
		return a.resp, a.err
	case <-agreed:
	case <-timer.C: // servers need not know the question
	}
	sendErr := sendChunks(conn, body)
	if _, own := errors.AsType[localError](sendErr); own {
		// The server must not take a part for the whole: the end mark is missing.
		return nil, sendErr
	}
	a := <-answers
	if a.err != nil && sendErr != nil {
		return nil, sendErr
	}
	return a.resp, a.err
}

type answer struct {
	resp *response
	err  error
}

// readInterim reads the final response and tells when the server asks for the body.
func readInterim(in *bufio.Reader, agreed chan<- struct{}) (*response, error) {
	for range maxInterim {
		resp, err := readResponse(in)
		if err != nil || resp.status != 100 {
			return resp, err
		}
		if agreed != nil {
			close(agreed)
			agreed = nil
		}
	}
	return nil, errors.New("the server does not come to an answer")
}

// sendChunks writes a body in chunked coding. An error of the body itself is a localError.
func sendChunks(w io.Writer, body io.Reader) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if _, err := fmt.Fprintf(w, "%x\r\n%s\r\n", n, buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			_, err = io.WriteString(w, "0\r\n\r\n")
			return err
		}
		if err != nil {
			return localError{err}
		}
	}
}

// readResponse reads status line and headers; the body is left to be read.
func readResponse(in *bufio.Reader) (*response, error) {
	lines, err := readHead(in)
	if err != nil {
		return nil, fmt.Errorf("read the answer's head: %w", err)
	}
	proto, rest, _ := strings.Cut(lines[0], " ")
	code, text, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if err != nil || !strings.HasPrefix(proto, "HTTP/1.") || status < 100 || status > 999 {
		return nil, fmt.Errorf("malformed status line %q", shorten(lines[0]))
	}
	resp := &response{status: status, text: text, header: map[string]string{}}
	for _, line := range lines[1:] {
		name, value, found := strings.Cut(line, ":")
		if !found || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("malformed header %q", shorten(line))
		}
		name = strings.ToLower(name)
		if _, twice := resp.header[name]; !twice {
			resp.header[name] = strings.TrimSpace(value)
		}
	}
	resp.body, err = responseBody(in, resp)
	return resp, err
}

// readHead reads at least one line, and all up to the empty one that ends the headers.
func readHead(in *bufio.Reader) ([]string, error) {
	var lines []string
	var line []byte
	for left := maxHeaders; left > 0; {
		part, err := in.ReadSlice('\n')
		line, left = append(line, part...), left-len(part)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		text := strings.TrimRight(string(line), "\r\n")
		if text == "" && len(lines) > 0 {
			return lines, nil
		}
		lines, line = append(lines, text), line[:0]
	}
	return nil, fmt.Errorf("larger than %d bytes", maxHeaders)
}

func responseBody(in *bufio.Reader, r *response) (io.Reader, error) {
	length := r.header["content-length"]
	switch {
	case r.status < 200 || r.status == 204 || r.status == 304:
		return strings.NewReader(""), nil
	case strings.EqualFold(r.header["transfer-encoding"], "chunked"):
		return &chunks{in: in}, nil
	case length == "":
		return in, nil // until the connection ends
	}
	n, err := strconv.ParseInt(length, 10, 64)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("malformed Content-Length %q", shorten(length))
	}
	return &exactly{in, n}, nil
}

// exactly reports a body that ends early.
type exactly struct {
	r    io.Reader
	left int64
}

func (e *exactly) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > e.left {
		p = p[:e.left]
	}
	n, err := e.r.Read(p)
	e.left -= int64(n)
	if errors.Is(err, io.EOF) && e.left > 0 {
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

// chunks decodes chunked coding; trailers are dropped with the connection.
type chunks struct {
	in   *bufio.Reader
	left int64
	end  bool
	more bool // a chunk was read, its end of line was not
}

func (c *chunks) Read(p []byte) (int, error) {
	if c.end {
		return 0, io.EOF
	}
	if c.left == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
		if c.end {
			return 0, io.EOF
		}
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.in.Read(p)
	c.left -= int64(n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (c *chunks) next() error {
	if c.more {
		if line, err := c.line(); err != nil || line != "" {
			return errors.Join(errors.New("malformed chunk"), err)
		}
	}
	line, err := c.line()
	if err != nil {
		return err
	}
	size, _, _ := strings.Cut(line, ";")
	n, err := strconv.ParseInt(strings.TrimSpace(size), 16, 64)
	if err != nil || n < 0 {
		return fmt.Errorf("malformed chunk size %q", shorten(line))
	}
	c.left, c.more, c.end = n, true, n == 0
	return nil
}

func (c *chunks) line() (string, error) {
	line, err := c.in.ReadSlice('\n') // bounded by the buffer
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return strings.TrimRight(string(line), "\r\n"), err
}
