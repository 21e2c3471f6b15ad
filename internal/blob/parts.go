package blob

import (
	"context"
	"errors"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"
)

// What has no known length travels in parts that are held in memory, so that
// each can be sent again: two under way while the third is read.
const (
	partSize    = 8 << 20
	partsAtOnce = 2
)

var partBuffers = sync.Pool{New: func() any { return new([partSize]byte) }}

// fill reads until buf is full or r ends. It is io.ReadFull, which hides that
// r itself said io.ErrUnexpectedEOF: an upload that ended early.
func fill(r io.Reader, buf []byte) (n int, ended bool, err error) {
	for n < len(buf) {
		m, err := r.Read(buf[n:])
		n += m
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return n, true, nil
		}
		if err != nil {
			return n, false, err
		}
	}
	return n, false, nil
}

// sendParts reads r and hands it on: to whole if it fits into one part, else
// after begin part by part, numbered from 1, some of them at once.
func sendParts(ctx context.Context, r io.Reader, whole func([]byte) error, begin func() error, part func(ctx context.Context, number int, b []byte) error) error {
	buf := partBuffers.Get().(*[partSize]byte) //nolint:forcetypeassert // The pool holds nothing else.
	n, ended, err := fill(r, buf[:])
	if err != nil || ended {
		defer partBuffers.Put(buf)
		if err != nil {
			return err
		}
		return whole(buf[:n])
	}
	if err := begin(); err != nil {
		partBuffers.Put(buf)
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(partsAtOnce)
	for number := 1; ; number++ {
		filled, size := buf, n
		g.Go(func() error {
			defer partBuffers.Put(filled)
			return part(ctx, number, filled[:size])
		})
		if ended || ctx.Err() != nil {
			return g.Wait()
		}
		buf = partBuffers.Get().(*[partSize]byte) //nolint:forcetypeassert // As above.
		if n, ended, err = fill(r, buf[:]); err != nil {
			partBuffers.Put(buf)
			return errors.Join(err, g.Wait())
		}
		if n == 0 {
			partBuffers.Put(buf)
			return g.Wait()
		}
	}
}
