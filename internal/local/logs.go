//go:build linux

package local

import (
	"io"
	"log/slog"
	"strings"

	"gopkg.in/natefinch/lumberjack.v2"

	"github.com/kiwerk/kiwerk/internal/app"
	"github.com/kiwerk/kiwerk/internal/buildinfo"
	"github.com/kiwerk/kiwerk/internal/config"
)

const ecsVersion = "8.11.0"

// logFile rotates by size.
func logFile(path string, c config.Logs) io.WriteCloser {
	return &lumberjack.Logger{Filename: path, MaxSize: max(1, int(c.MaxFileBytes>>20)), MaxBackups: c.MaxFiles, Compress: false}
}

// newLogger writes JSON in the Elastic Common Schema, which log tools read without rules.
func newLogger(w io.Writer, level string) *slog.Logger {
	h := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: logLevel(level), ReplaceAttr: ecs})
	return slog.New(h).With("ecs.version", ecsVersion, "service.name", "kiwerk", "service.version", buildinfo.Version())
}

func logLevel(name string) slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(name)); err != nil {
		return slog.LevelInfo // validated before
	}
	return l
}

// ecsNames are the schema's names of the attributes that our code and Kubernetes' use.
var ecsNames = map[string]string{
	slog.TimeKey: "@timestamp", slog.MessageKey: "message",
	"error": "error.message", "err": "error.message", "component": "log.logger", "logger": "log.logger",
	"user": "user.name", "duration": "event.duration", "pid": "process.pid",
}

func ecs(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	if a.Key == slog.LevelKey {
		return slog.String("log.level", strings.ToLower(a.Value.String()))
	}
	if name, ok := ecsNames[a.Key]; ok {
		a.Key = name
	}
	return a
}

// kubernetesLogger is what Kubernetes' components log to.
func kubernetesLogger(l *slog.Logger, configured string) *slog.Logger {
	if configured != "debug" {
		l = app.Quieter(l, slog.LevelWarn)
	}
	return l.With("event.module", "kubernetes")
}
