package trackcmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kiwerk/kiwerk/internal/app/alone"
	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/config"
	"github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/text"
	"github.com/kiwerk/kiwerk/internal/tracking/access"
)

// Runners fills the commands of tracking.
func Runners(getenv func(string) string) cli.Tracking {
	return cli.Tracking{
		Serve:  func(ctx context.Context, s cli.Session, o cli.ServeOptions) error { return serve(ctx, s, o, getenv) },
		Import: bring,
		Export: export,
	}
}

// stopTimeout is how long running requests may take when the server ends.
const stopTimeout = 10 * time.Second

func serve(ctx context.Context, s cli.Session, o cli.ServeOptions, getenv func(string) string) error {
	begun := time.Now()
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	say := func(key text.Key, args ...any) {
		if !s.Quiet {
			_ = s.Text.Fprintln(s.Err, key, args...) // talk only
		}
	}
	if len(o.Ignored) > 0 {
		say(text.ServeIgnored, strings.Join(o.Ignored, ", "))
	}
	const levelName = "MLFLOW_LOGGING_LEVEL"
	level, ok := logLevel(getenv(levelName))
	if !ok {
		return &cli.Failure{Code: cli.ExitUsage, What: text.S(text.ServeLevel, levelName, getenv(levelName)), Try: text.S(text.Verbatim, levelName+"=INFO kiwerk tracking serve")}
	}
	server, err := alone.Open(ctx, options(o, dir, getenv, slog.New(slog.NewTextHandler(s.Err, &slog.HandlerOptions{Level: level}))))
	if err != nil {
		return explain(o, err)
	}
	if o.Insecure && !o.BasicAuth {
		say(text.ServeEverybody, server.Addr().String())
	}
	ready, artifacts := text.ServeReady, o.Artifacts
	if !o.ServeArtifacts && !o.ArtifactsOnly { // clients reach them without the server
		artifacts = cmp.Or(o.ArtifactRoot, "./mlruns")
	}
	switch {
	case o.ArtifactsOnly && o.BasicAuth:
		say(text.ServeUsers, alone.Redact(o.BackendStore), alone.Redact(o.Artifacts))
		ready = text.ServeArtifactsReady
	case o.ArtifactsOnly:
		say(text.ServeArtifactsIn, alone.Redact(o.Artifacts))
		ready = text.ServeArtifactsReady
	default:
		say(text.ServeData, alone.Redact(o.BackendStore), alone.Redact(artifacts))
	}
	_, place, _ := strings.Cut(server.URL(), "://")
	say(ready, time.Since(begun).Round(time.Millisecond).String(), server.URL(), place)
	select {
	case <-ctx.Done():
		say(text.ServeStopping)
	case err = <-server.Failed():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err = errors.Join(err, server.Stop(end)); err != nil {
		return err
	}
	say(text.ServeStopped)
	return nil
}

// logLevel is that of upstream's variable, in Python's words.
func logLevel(name string) (level slog.Level, known bool) {
	levels := map[string]slog.Level{
		"": slog.LevelWarn, "DEBUG": slog.LevelDebug, "INFO": slog.LevelInfo, "WARNING": slog.LevelWarn, "WARN": slog.LevelWarn,
		"ERROR": slog.LevelError, "CRITICAL": slog.LevelError, "FATAL": slog.LevelError, "NOTSET": slog.LevelDebug,
	}
	level, known = levels[strings.ToUpper(name)]
	return level, known
}

func options(o cli.ServeOptions, dir string, getenv func(string) string, log *slog.Logger) alone.Options {
	return alone.Options{
		Host: o.Host, Port: o.Port, Database: o.BackendStore, Registry: o.RegistryStore, WorkspaceStore: o.WorkspaceStore, ArtifactRoot: o.ArtifactRoot,
		Artifacts: o.Artifacts, ServeArtifacts: o.ServeArtifacts, ArtifactsOnly: o.ArtifactsOnly, StaticPrefix: o.StaticPrefix, Workspaces: o.Workspaces,
		Hosts: o.AllowedHosts, Origins: o.Origins, FrameOptions: o.FrameOptions, AnyHost: o.NoSecurity, Metrics: o.Metrics,
		BasicAuth: o.BasicAuth, TLS: config.TLS{CertFile: o.CertFile, KeyFile: o.KeyFile}, Insecure: o.Insecure,
		Dir: dir, Getenv: getenv, Clock: time.Now, Logger: log,
	}
}

// beside is a database of our own for one that is MLflow's: of the same kind.
func beside(uri string) string {
	u, err := url.Parse(alone.Redact(uri))
	if err != nil || !strings.HasPrefix(u.Scheme, "postgres") {
		return "sqlite:///kiwerk.db"
	}
	u.Path = "/kiwerk"
	return u.String()
}

// explain tells a person what to do about a start that failed.
func explain(o cli.ServeOptions, err error) error {
	port := strconv.Itoa(o.Port)
	verbatim := func(format string, args ...any) text.Sentence {
		return text.S(text.Verbatim, fmt.Sprintf(format, args...))
	}
	switch {
	case errors.Is(err, alone.ErrOpen):
		return &cli.Failure{Code: cli.ExitUsage, What: text.S(text.ServeOpen, o.Host), Try: text.S(text.ServeOpenTry, text.Quote(o.Host))}
	case errors.Is(err, syscall.EADDRINUSE):
		return &cli.Failure{What: text.S(text.ServePortTaken, net.JoinHostPort(o.Host, port)), Try: verbatim("kiwerk tracking serve --port 0")}
	case errors.Is(err, syscall.EACCES) && errors.As(err, new(*net.OpError)):
		return &cli.Failure{What: text.S(text.ServePortForbidden, net.JoinHostPort(o.Host, port)), Cause: err, Try: verbatim("kiwerk tracking serve --port 5000")}
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return &cli.Failure{What: text.S(text.ServeReadOnly), Cause: err, Try: verbatim("kiwerk tracking serve --backend-store-uri sqlite:///$HOME/kiwerk.db --artifacts-destination $HOME/mlartifacts")}
	case errors.Is(err, store.ErrMLflow):
		return &cli.Failure{
			What: text.S(text.ServeForeign, alone.Redact(o.BackendStore)), Why: text.S(text.ServeForeignWhy), Cause: err,
			Try: verbatim("kiwerk tracking import %s --to %[2]s && kiwerk tracking serve --backend-store-uri %[2]s", text.Quote(alone.Redact(o.BackendStore)), text.Quote(beside(o.BackendStore))),
		}
	case errors.Is(err, store.ErrForeign):
		return &cli.Failure{What: text.S(text.ServeForeign, alone.Redact(o.BackendStore)), Cause: err, Try: verbatim("kiwerk tracking serve --backend-store-uri sqlite:///kiwerk.db")}
	case errors.Is(err, store.ErrOtherBuild):
		return &cli.Failure{What: text.S(text.ServeOtherBuild, alone.Redact(o.BackendStore)), Why: text.S(text.ServeOtherBuildWhy), Cause: err, Try: verbatim("kiwerk tracking serve --backend-store-uri sqlite:///kiwerk.db")}
	case errors.Is(err, store.ErrUnavailable):
		return &cli.Failure{What: text.S(text.ServeNoDatabase, alone.Redact(o.BackendStore)), Cause: err}
	case errors.Is(err, store.ErrNewer):
		return &cli.Failure{What: text.S(text.ServeNewer, alone.Redact(o.BackendStore)), Cause: err}
	case errors.Is(err, access.ErrNoAdmin):
		return &cli.Failure{Code: cli.ExitUsage, What: text.S(text.ServeNoAdmin), Cause: err, Try: verbatim("MLFLOW_AUTH_ADMIN_PASSWORD=… kiwerk tracking serve --app-name basic-auth")}
	case errors.Is(err, alone.ErrURI), errors.Is(err, alone.ErrNotBuilt), errors.Is(err, alone.ErrOptions):
		return &cli.Failure{Code: cli.ExitUsage, What: text.S(text.ServeFailed), Cause: err, Try: verbatim("kiwerk tracking serve --help")}
	}
	return &cli.Failure{What: text.S(text.ServeFailed), Cause: err}
}
