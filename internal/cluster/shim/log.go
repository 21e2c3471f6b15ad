package shim

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// maxLine is the longest line that is written in one piece, as in other runtimes.
const maxLine = 16 << 10

// logFile is the container's log in the format of the CRI: time, stream, P
// (partial) or F (full line), content.
type logFile struct {
	mu   sync.Mutex
	path string
	f    *os.File
	now  func() time.Time
}

func openLog(path string, now func() time.Time) (*logFile, error) {
	l := &logFile{path: path, now: now}
	return l, l.reopen()
}

// reopen follows a rotation: the file was renamed and a new one begins.
func (l *logFile) reopen() error {
	if l.path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(l.path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.f
	l.f = f
	if old != nil {
		return old.Close()
	}
	return nil
}

// write appends entries. A full disk loses log lines, never the container: it would block otherwise.
func (l *logFile) write(entries []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != nil {
		_, _ = l.f.Write(entries)
	}
}

// stream splits one output of the container into entries of the log.
type stream struct {
	name string
	log  *logFile
	buf  []byte // of an unfinished line
	out  []byte
}

// copy reads r to its end. tee, if set, gets the bytes as they come.
func (s *stream) copy(r io.Reader, tee func([]byte)) error {
	chunk := make([]byte, 32<<10)
	for {
		n, err := r.Read(chunk)
		if n > 0 {
			s.write(chunk[:n])
			if tee != nil {
				tee(chunk[:n])
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) || isTTYEnd(err) {
			s.finish()
			return nil
		}
		if err != nil {
			s.finish()
			return err
		}
	}
}

// write turns a chunk into entries; what follows the last newline waits for more.
func (s *stream) write(p []byte) {
	stamp := s.log.now().UTC().AppendFormat(nil, time.RFC3339Nano)
	s.out = s.out[:0]
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		line := p
		if i >= 0 {
			line = p[:i]
		}
		for len(s.buf)+len(line) > maxLine {
			n := maxLine - len(s.buf)
			s.buf = append(s.buf, line[:n]...)
			line = line[n:]
			s.entry(stamp, 'P')
		}
		s.buf = append(s.buf, line...)
		if i < 0 {
			break
		}
		s.entry(stamp, 'F')
		p = p[i+1:]
	}
	if len(s.out) > 0 {
		s.log.write(s.out)
	}
}

// finish writes what the container left without a newline. As a partial line
// it is shown as it was, without a newline that nobody printed.
func (s *stream) finish() {
	if len(s.buf) == 0 {
		return
	}
	s.out = s.out[:0]
	s.entry(s.log.now().UTC().AppendFormat(nil, time.RFC3339Nano), 'P')
	s.log.write(s.out)
}

func (s *stream) entry(stamp []byte, tag byte) {
	s.out = append(s.out, stamp...)
	s.out = append(s.out, ' ')
	s.out = append(s.out, s.name...)
	s.out = append(s.out, ' ', tag, ' ')
	s.out = append(s.out, s.buf...)
	s.out = append(s.out, '\n')
	s.buf = s.buf[:0]
}
