package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"

	"go.uber.org/zap/zapcore"
)

// core hands etcd's log entries to slog. Etcd is talkative, so its Info becomes Debug.
type core struct {
	logger *slog.Logger
}

func newCore(logger *slog.Logger) zapcore.Core { return core{logger} }

func (c core) Enabled(l zapcore.Level) bool {
	return c.logger.Enabled(context.Background(), level(l))
}

func (c core) With(fields []zapcore.Field) zapcore.Core {
	return core{c.logger.With(attributes(fields)...)}
}

func (c core) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	c.logger.Log(context.Background(), level(e.Level), e.Message, attributes(fields)...)
	return nil
}

func (c core) Sync() error { return nil }

// fatalHook is called where etcd would end the process or panic, as it does when
// a write fails. It ends only the goroutine, so that the rest of the program can
// say why and close what is still whole.
type fatalHook struct{ s *Server }

// OnWrite never returns.
func (h fatalHook) OnWrite(e *zapcore.CheckedEntry, fields []zapcore.Field) {
	err := errors.New(e.Message)
	for _, f := range fields {
		if cause, ok := f.Interface.(error); ok && f.Type == zapcore.ErrorType {
			err = fmt.Errorf("%s: %w", e.Message, cause)
		}
	}
	h.s.broken.Store(true)
	h.s.fail(h.s.explain(err))
	runtime.Goexit()
}

func attributes(fields []zapcore.Field) []any {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(enc)
	}
	out := make([]any, 0, len(enc.Fields))
	for _, f := range fields {
		if v, ok := enc.Fields[f.Key]; ok {
			out = append(out, slog.Any(f.Key, v))
			delete(enc.Fields, f.Key)
		}
	}
	return out
}

func level(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return slog.LevelError
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	default:
		return slog.LevelDebug
	}
}
