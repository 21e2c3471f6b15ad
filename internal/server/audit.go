package server

import (
	"context"
	"log/slog"
)

// Audit writes a line about who did what, whatever level the log has: it is kept
// for people who ask later, not for those who look for a fault.
func Audit(ctx context.Context, log *slog.Logger, message string, args ...any) {
	slog.New(always{log.Handler()}).InfoContext(ctx, message, append([]any{"audit", true, "user", UserOf(ctx).Name}, args...)...)
}

// always is a handler without a level.
type always struct{ slog.Handler }

// Enabled implements slog.Handler.
func (always) Enabled(context.Context, slog.Level) bool { return true }
