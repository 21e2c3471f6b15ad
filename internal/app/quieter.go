package app

import (
	"context"
	"log/slog"
)

// Quieter is a logger that drops what is below a level: libraries say much at
// info that only their developers read.
func Quieter(l *slog.Logger, level slog.Level) *slog.Logger {
	return slog.New(minLevel{l.Handler(), level})
}

type minLevel struct {
	slog.Handler
	level slog.Level
}

// Enabled adds the level.
func (h minLevel) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level && h.Handler.Enabled(ctx, l)
}

// WithAttrs keeps the level.
func (h minLevel) WithAttrs(attrs []slog.Attr) slog.Handler {
	return minLevel{h.Handler.WithAttrs(attrs), h.level}
}

// WithGroup keeps the level.
func (h minLevel) WithGroup(name string) slog.Handler {
	return minLevel{h.Handler.WithGroup(name), h.level}
}
