package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"time"
)

// connection to a pod: HTTP/1.1, one call at a time, on the goroutine of the
// caller. net/http's client moves each call through two more goroutines, which
// costs more than all else that a small inference needs.
type connection struct {
	net.Conn

	pod    *pod
	reader *bufio.Reader
	head   []byte // reused for what is sent
	since  time.Time
	// fresh is true until the first call: only then a failure is the pod's and
	// not that of a connection which it had closed meanwhile.
	fresh bool
}

const (
	maxHead       = 64 << 10
	maxInterim    = 8
	joinedBody    = 32 << 10 // a body up to this size is sent with the head in one piece
	aLongTimeBack = 1        // seconds after 1970: a deadline that has passed
)

// exchange sends c and reads the head of the answer.
func (k *connection) exchange(ctx context.Context, c *call) (*answer, error) {
	deadline, _ := ctx.Deadline()
	if err := k.SetDeadline(deadline); err != nil {
		return nil, err
	}
	// A client that has gone away ends the call at once.
	forget := context.AfterFunc(ctx, func() { _ = k.SetDeadline(time.Unix(aLongTimeBack, 0)) })
	a, err := k.roundTrip(c)
	if err != nil {
		forget()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			// The connection's timer was a little ahead of the context's.
			return nil, context.DeadlineExceeded
		}
		return nil, err
	}
	a.body.(*body).forget = forget //nolint:forcetypeassert // roundTrip makes it.
	return a, nil
}

func (k *connection) roundTrip(c *call) (*answer, error) {
	if err := k.write(c); err != nil {
		return nil, err
	}
	for range maxInterim {
		a, err := k.readHead()
		if err != nil || a.status >= 200 {
			return a, err
		}
	}
	return nil, errors.New("the pod sends nothing but interim answers")
}

// write sends head and body.
func (k *connection) write(c *call) error {
	b := k.head[:0]
	b = append(b, c.method...)
	b = append(b, ' ')
	b = append(b, c.target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, k.pod.address...)
	b = append(b, "\r\n"...)
	for name, values := range c.header {
		for _, v := range values {
			b = append(b, name...)
			b = append(b, ": "...)
			b = append(b, v...)
			b = append(b, "\r\n"...)
		}
	}
	if len(c.body) > 0 || c.method == http.MethodPost {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, int64(len(c.body)), 10)
		b = append(b, "\r\n"...)
	}
	b = append(b, "\r\n"...)
	if len(c.body) <= joinedBody {
		b = append(b, c.body...)
		k.head = b
		_, err := k.Write(b)
		return err
	}
	k.head = b
	both := net.Buffers{b, c.body}
	_, err := both.WriteTo(k.Conn)
	return err
}

// readHead reads a status line and a header.
func (k *connection) readHead() (*answer, error) {
	budget := maxHead
	line, err := k.line(&budget)
	if err != nil {
		return nil, err
	}
	proto, rest, _ := strings.Cut(string(line), " ")
	code, _, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if err != nil || status < 100 || status > 999 || proto != "HTTP/1.1" && proto != "HTTP/1.0" {
		return nil, fmt.Errorf("the pod does not speak HTTP/1.1: %.40q", line)
	}
	h := make(http.Header, 8)
	for {
		line, err := k.line(&budget)
		if err != nil {
			return nil, err
		}
		if len(line) == 0 {
			break
		}
		name, value, ok := strings.Cut(string(line), ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("the pod sent a malformed header line: %.40q", line)
		}
		h.Add(textproto.CanonicalMIMEHeaderKey(name), textproto.TrimString(value))
	}
	return k.answer(proto, status, h)
}

// line reads one line without its end.
func (k *connection) line(budget *int) ([]byte, error) {
	line, err := k.reader.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, errors.New("the pod sent a header line that is too long")
	}
	if err != nil {
		return nil, err
	}
	if *budget -= len(line); *budget < 0 {
		return nil, fmt.Errorf("the pod sent a header of more than %d bytes", maxHead)
	}
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line, nil
}

// answer finds out how the body is delimited (RFC 9112, section 6.3).
func (k *connection) answer(proto string, status int, h http.Header) (*answer, error) {
	a := &answer{status: status, header: h, length: -1}
	b := &body{connection: k, reusable: proto == "HTTP/1.1" && !hasToken(h["Connection"], "close")}
	a.body = b
	encoding, lengths := h["Transfer-Encoding"], h["Content-Length"]
	switch {
	case status < 200 || status == http.StatusNoContent || status == http.StatusNotModified:
		a.length = 0
		b.Reader = http.NoBody
	case len(encoding) == 1 && strings.EqualFold(encoding[0], "chunked") && len(lengths) == 0:
		b.Reader = httputil.NewChunkedReader(k.reader)
		b.chunked = true
	case len(encoding) > 0 || len(lengths) > 1:
		return nil, errors.New("the pod's answer has an ambiguous length")
	case len(lengths) == 1:
		n, err := strconv.ParseInt(lengths[0], 10, 64)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("the pod sent Content-Length %.20q", lengths[0])
		}
		a.length = n
		b.Reader = &io.LimitedReader{R: k.reader, N: n}
		b.left = b.Reader.(*io.LimitedReader) //nolint:forcetypeassert // made in the line before
	default:
		b.Reader, b.reusable = k.reader, false // until the connection ends
	}
	return a, nil
}

func hasToken(values []string, token string) bool {
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

// body of an answer. Closing it gives the connection back if the answer was read to its end.
type body struct {
	io.Reader

	connection *connection
	pool       *pool
	left       *io.LimitedReader
	chunked    bool
	ended      bool
	reusable   bool
	forget     func() bool
}

// Read reads the body; one that ends too early is an error.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		b.ended = true
		if b.left != nil && b.left.N > 0 {
			return n, io.ErrUnexpectedEOF
		}
	}
	return n, err
}

// Close ends the call.
func (b *body) Close() error {
	whole := b.left == nil && !b.chunked && b.Reader == http.NoBody || b.left != nil && b.left.N == 0
	if b.chunked && b.ended && b.reusable {
		whole = b.trailer() == nil
	}
	// The call's end must not reach the next one on this connection.
	quiet := b.forget == nil || b.forget()
	if !whole || !b.reusable || !quiet {
		return b.connection.Close()
	}
	b.pool.put(b.connection)
	return nil
}

// trailer reads what follows the last chunk.
func (b *body) trailer() error {
	budget := maxHead
	for {
		line, err := b.connection.line(&budget)
		if err != nil || len(line) == 0 {
			return err
		}
	}
}
