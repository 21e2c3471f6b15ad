package blob

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// OpenSeeker opens a key so that any part of it can be read. Of an object
// store nothing is fetched before the first read.
func OpenSeeker(ctx context.Context, b Bucket, key string) (io.ReadSeekCloser, Info, error) {
	if f, ok := b.(*Folder); ok {
		content, info, err := f.Open(ctx, key, 0, -1)
		if err != nil {
			return nil, info, err
		}
		return content.(io.ReadSeekCloser), info, nil //nolint:forcetypeassert // A whole file is an *os.File, which the kernel can copy.
	}
	info, err := b.Stat(ctx, key)
	if err == nil && info.Folder {
		err = fmt.Errorf("%q is not a file: %w", key, fs.ErrNotExist)
	}
	if err != nil {
		return nil, info, err
	}
	return &seeker{ctx: ctx, bucket: b, info: info}, info, nil
}

// seeker reads an object from where it was told to.
type seeker struct {
	ctx    context.Context //nolint:containedctx // It is that of the one who reads.
	bucket Bucket
	info   Info
	at     int64
	open   io.ReadCloser
}

// errReplaced is an object that is another one than at the beginning.
var errReplaced = errors.New("it was replaced while it was read")

// Read implements io.Reader.
func (s *seeker) Read(p []byte) (int, error) {
	if s.at >= s.info.Size {
		return 0, io.EOF
	}
	if s.open == nil {
		content, info, err := s.bucket.Open(s.ctx, s.info.Key, s.at, -1)
		if err != nil {
			return 0, err
		}
		if info.Version != s.info.Version {
			return 0, errors.Join(fmt.Errorf("read %q: %w", s.info.Key, errReplaced), content.Close())
		}
		s.open = content
	}
	n, err := s.open.Read(p)
	s.at += int64(n)
	return n, err
}

// Seek implements io.Seeker.
func (s *seeker) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.at
	case io.SeekEnd:
		offset += s.info.Size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek to byte %d of %q: %w", offset, s.info.Key, ErrRange)
	}
	if offset == s.at {
		return offset, nil
	}
	s.at = offset
	return offset, s.Close()
}

// Close implements io.Closer.
func (s *seeker) Close() error {
	if s.open == nil {
		return nil
	}
	defer func() { s.open = nil }()
	return s.open.Close()
}

// CreateSummed is Create and the SHA-256 of what was stored. The sum is made
// beside the copy, so that it costs no time where there is a second core.
func CreateSummed(ctx context.Context, b Bucket, key string, r io.Reader) (Info, []byte, error) {
	s := &summer{from: r, full: make(chan []byte, summedAhead), free: make(chan []byte, summedAhead), done: make(chan []byte, 1)}
	for range summedAhead {
		s.free <- make([]byte, 0, copyBuffer)
	}
	go s.sum()
	info, err := b.Create(ctx, key, s)
	close(s.full)
	return info, <-s.done, err
}

// summedAhead is how many buffers may wait to be summed.
const summedAhead = 4

// summer hands what is read to the one who sums: a copy of it to a bucket that
// reads, the buffer itself where it copies.
type summer struct {
	from       io.Reader
	full, free chan []byte
	done       chan []byte
}

// Read implements io.Reader.
func (s *summer) Read(p []byte) (int, error) {
	n, err := s.from.Read(p[:min(len(p), copyBuffer)])
	if n > 0 {
		s.full <- append((<-s.free)[:0], p[:n]...)
	}
	return n, err
}

// copyTo writes all to w and sums what was written while the next is read.
func (s *summer) copyTo(w io.Writer) error {
	for ended := false; !ended; {
		buf := (<-s.free)[:copyBuffer]
		n, end, err := fill(s.from, buf)
		if err != nil {
			return err
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
		s.full <- buf[:n]
		ended = end
	}
	return nil
}

func (s *summer) sum() {
	h := sha256.New()
	for b := range s.full {
		_, _ = h.Write(b) // it never fails
		s.free <- b
	}
	s.done <- h.Sum(nil)
}
