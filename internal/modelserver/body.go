package modelserver

import (
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/kiwerk/kiwerk/internal/wire"
)

// buffers keeps the memory of requests for later ones: to make and clear half a
// megabyte for each image costs more than to read it.
type buffers struct{ pool sync.Pool }

const largestKept = 16 << 20

func (p *buffers) get(n int) []byte {
	if b, ok := p.pool.Get().(*[]byte); ok && cap(*b) >= n {
		return (*b)[:n]
	}
	return make([]byte, n)
}

func (p *buffers) put(b []byte) {
	if cap(b) <= largestKept {
		p.pool.Put(&b)
	}
}

// body reads the request, unpacked if it is compressed. The bytes may be used until release.
func (s *Server) body(w http.ResponseWriter, r *http.Request) (body []byte, release func(), err error) {
	reader := io.Reader(http.MaxBytesReader(w, r.Body, s.o.MaxBody))
	switch strings.ToLower(r.Header.Get("Content-Encoding")) {
	case "", "identity":
		if n := r.ContentLength; n > 0 && n <= s.o.MaxBody {
			return s.plainBody(reader, int(n), jsonLength(r))
		}
	case "gzip":
		reader, err = gzip.NewReader(reader)
	case "deflate":
		reader, err = zlib.NewReader(reader)
	default:
		err = wire.Errorf(wire.InvalidArgument, "Content-Encoding %q is not known; gzip and deflate are", r.Header.Get("Content-Encoding"))
		return nil, nil, err
	}
	if err != nil {
		return nil, nil, readError(err)
	}
	body, err = io.ReadAll(io.LimitReader(reader, s.o.MaxBody+1))
	if err == nil && int64(len(body)) > s.o.MaxBody {
		err = &http.MaxBytesError{Limit: s.o.MaxBody}
	}
	return body, func() {}, readError(err)
}

// plainBody places a body of known length so that the tensors behind its JSON are aligned.
func (s *Server) plainBody(r io.Reader, n, head int) (body []byte, release func(), err error) {
	pad := (wire.Alignment - head%wire.Alignment) % wire.Alignment
	whole := s.buffers.get(n + pad)
	if _, err := io.ReadFull(r, whole[pad:]); err != nil {
		s.buffers.put(whole)
		return nil, nil, readError(err)
	}
	return whole[pad:], func() { s.buffers.put(whole) }, nil
}

// jsonLength is where tensors begin in the body, if the request says so; whether it is true is checked later.
func jsonLength(r *http.Request) int {
	n, err := strconv.Atoi(r.Header.Get(wire.HeaderLength))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func readError(err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &tooLarge):
		return &bodyTooLargeError{tooLarge.Limit}
	default:
		return wire.Errorf(wire.InvalidArgument, "the body cannot be read: %v", err)
	}
}

// bodyTooLargeError is answered with 413, which has no canonical code.
type bodyTooLargeError struct{ limit int64 }

func (e *bodyTooLargeError) Error() string {
	return "the body is larger than " + strconv.FormatInt(e.limit, 10) + " bytes"
}
