package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kiwerk/kiwerk/internal/text"
	"github.com/kiwerk/kiwerk/internal/tracking/client"
	"github.com/kiwerk/kiwerk/internal/tracking/workbench"
)

// trackers are the commands that speak with a tracking server.
type trackers struct {
	*tree
	uri, workspace string
	// local says that the running platform is meant.
	local bool
}

// connects gives a command and those below it the flags of the server.
func (t *tree) connects(parent *cobra.Command) *trackers {
	s := &trackers{tree: t}
	f := parent.PersistentFlags()
	f.StringVar(&s.uri, "tracking-uri", "", t.T(text.FlagTrackingURI))
	f.StringVarP(&s.workspace, "project", "n", "", t.T(text.FlagProject))
	f.StringVar(&s.workspace, "workspace", "", t.T(text.FlagWorkspace))
	return s
}

// server is the tracking server that is meant: the flag's, the environment's, or the local platform.
func (s *trackers) server(ctx context.Context) (*client.Client, error) {
	get := s.program.Getenv
	o := client.Options{URI: s.uri, Token: get("MLFLOW_TRACKING_TOKEN"), Username: get("MLFLOW_TRACKING_USERNAME"), Password: get("MLFLOW_TRACKING_PASSWORD")}
	if o.URI == "" {
		o.URI = get("MLFLOW_TRACKING_URI")
	}
	var err error
	if o.URI == "" {
		s.local = true
		if o, err = s.program.TrackingServer(ctx, s.session); err != nil {
			var f *Failure
			if errors.As(err, &f) && f.What.Key == text.NotRunning {
				f.Why = text.S(text.TrackingNoAddress)
			}
			return nil, err
		}
	} else if o.HTTP, err = s.transport(); err != nil {
		return nil, err
	}
	if o.Workspace = s.workspace; o.Workspace == "" {
		o.Workspace = get("MLFLOW_WORKSPACE")
	}
	c, err := client.New(o)
	if errors.Is(err, client.ErrURI) {
		return nil, usage(text.S(text.TrackingURI, o.URI), "kiwerk … --tracking-uri http://127.0.0.1:5000")
	}
	return c, err
}

// transport trusts what the environment of MLflow's clients says.
func (s *trackers) transport() (*http.Client, error) {
	insecure := s.program.Getenv("MLFLOW_TRACKING_INSECURE_TLS") == "true"
	file := s.program.Getenv("MLFLOW_TRACKING_SERVER_CERT_PATH")
	if !insecure && file == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: insecure} //nolint:gosec // The user asks for it by the variable that MLflow has for it.
	if file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, &Failure{Code: ExitUsage, What: text.S(text.TrackingCertificate, file)}
		}
	}
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.TLSClientConfig = c
	return &http.Client{Transport: tr}, nil
}

// asks gives a command a server; errors of the server become failures.
func (s *trackers) asks(do func(c *cobra.Command, server *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		server, err := s.server(c.Context())
		if err != nil {
			return err
		}
		return s.failure(server, do(c, server, args))
	}
}

// asksRun is asks for what is about one run, the first argument.
func (s *trackers) asksRun(do func(c *cobra.Command, server *client.Client, run client.Run) error) func(*cobra.Command, []string) error {
	return s.asks(func(c *cobra.Command, server *client.Client, args []string) error {
		run, err := workbench.FindRun(c.Context(), server, args[0])
		if err != nil {
			return err
		}
		return do(c, server, run)
	})
}

// asksRuns is asks for what is done with each of several runs.
func (s *trackers) asksRuns(do func(c *cobra.Command, server *client.Client, ids []string) (text.Sentence, error)) func(*cobra.Command, []string) error {
	return s.asks(func(c *cobra.Command, server *client.Client, args []string) error {
		ids, err := workbench.RunIDs(c.Context(), server, args)
		if err != nil {
			return err
		}
		said, err := do(c, server, ids)
		if err != nil {
			return err
		}
		return s.print(&RunsChanged{Runs: ids, said: said})
	})
}

// asksVersion is asks for what is about a version of a model, the first argument.
func (s *trackers) asksVersion(do func(c *cobra.Command, server *client.Client, v client.ModelVersion) error) func(*cobra.Command, []string) error {
	return s.asks(func(c *cobra.Command, server *client.Client, args []string) error {
		v, err := workbench.Version(c.Context(), server, args[0])
		if err != nil {
			return err
		}
		return do(c, server, v)
	})
}

// failure says what a person can do about an error of a server.
func (s *trackers) failure(server *client.Client, err error) error {
	var refused *client.Error
	var unreachable *url.Error
	var known *Failure
	var several *workbench.AmbiguousError
	var noModel *workbench.NoModelError
	var nothing *workbench.NothingError
	var short *workbench.ShortError
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.As(err, &refused):
		return refusedByServer(server, refused)
	case errors.As(err, &several):
		return &Failure{Code: ExitUsage, What: text.S(text.RunAmbiguous, several.ID, strings.Join(several.Runs, ", ")), Try: text.S(text.Verbatim, "kiwerk runs show "+several.Runs[0])}
	case errors.As(err, &noModel):
		return withoutModel(noModel)
	case errors.As(err, &short):
		return &Failure{Code: ExitNotFound, What: text.S(text.RunShort, short.ID), Try: text.S(text.Verbatim, "kiwerk runs list")}
	case errors.As(err, &nothing):
		return &Failure{Code: ExitNotFound, What: text.S(text.ModelNothing, nothing.Address), Try: text.S(text.Verbatim, "kiwerk models list")}
	case errors.Is(err, workbench.ErrModel):
		return usage(text.S(text.ModelReference), "kiwerk models list")
	case errors.Is(err, client.ErrElsewhere):
		return &Failure{What: text.S(text.TrackingElsewhere), Cause: err}
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &unreachable) && s.local:
		return &Failure{Code: ExitNotReady, What: text.S(text.NotRunning, s.session.DataDir), Why: text.S(text.TrackingNoAddress), Cause: unreachable.Err, Try: text.S(text.Verbatim, "kiwerk up")}
	case errors.As(err, &unreachable):
		return &Failure{Code: ExitNotReady, What: text.S(text.TrackingUnreachable, server.URI()), Cause: unreachable.Err, Try: text.S(text.Verbatim, "curl "+server.URI()+"/health")}
	}
	return err
}

// withoutModel says what lies where a model should be.
func withoutModel(e *workbench.NoModelError) error {
	f := &Failure{Code: ExitUsage, What: text.S(text.ModelNone, e.Run, e.Path), Why: text.S(text.ModelNoneWhy, strings.Join(e.Files, ", "), e.Run, e.Address)}
	if len(e.Files) == 0 {
		f.Why = text.S(text.ModelNoneEmpty)
	}
	f.Try = text.S(text.Verbatim, "kiwerk runs show "+e.Run)
	if len(e.Models) > 0 {
		f.Why = text.S(text.ModelNoneLogged, strings.Join(e.Models, ", "))
		if len(e.Files) > 0 {
			f.Why = text.S(text.ModelNoneBoth, strings.Join(e.Files, ", "), strings.Join(e.Models, ", "))
		}
		f.Try = text.S(text.Verbatim, "kiwerk models register MODEL --model-id "+e.Models[0])
	}
	return f
}

func refusedByServer(server *client.Client, e *client.Error) error {
	f := &Failure{What: text.S(text.Verbatim, e.Message), Code: map[int]int{
		http.StatusBadRequest: ExitUsage, http.StatusNotFound: ExitNotFound, http.StatusUnauthorized: ExitNotAllowed, http.StatusForbidden: ExitNotAllowed,
		http.StatusTooManyRequests: ExitNotReady, http.StatusServiceUnavailable: ExitNotReady,
	}[e.Status]}
	switch e.Status {
	case http.StatusNotFound:
		f.Try = text.S(text.Verbatim, "kiwerk runs list")
		if strings.Contains(e.Path, "/registered-models/") || strings.Contains(e.Path, "/model-versions/") {
			f.Try = text.S(text.Verbatim, "kiwerk models list")
		}
	case http.StatusUnauthorized:
		f.Why, f.Try = text.S(text.TrackingLogin, server.URI()), text.S(text.Verbatim, "export MLFLOW_TRACKING_TOKEN=…")
		if e.Basic {
			f.Try = text.S(text.Verbatim, "export MLFLOW_TRACKING_USERNAME=… MLFLOW_TRACKING_PASSWORD=…")
		}
	case http.StatusForbidden:
		f.Why = text.S(text.TrackingForbidden)
	}
	if e.Remedy != "" {
		f.Try = text.S(text.Verbatim, e.Remedy)
	}
	return f
}

// say talks on the side, in tables only: whoever reads data needs no talk.
func (s *trackers) say(key text.Key, args ...any) {
	if !s.session.Quiet && s.output != "json" && s.output != "yaml" {
		fmt.Fprintln(s.program.Err, s.session.Text.T(key, args...))
	}
}

// progress tells how far something is: in place on a terminal, else one line for each step.
func (s *trackers) progress(key text.Key) (step func(n int), done func()) {
	if s.session.Quiet {
		return func(int) {}, func() {}
	}
	const often, rarely = 1000, 10_000
	shown := false
	return func(n int) {
			switch {
			case s.session.Terminal && n%often == 0:
				shown = true
				fmt.Fprintf(s.program.Err, "\r%s", s.session.Text.T(key, n))
			case !s.session.Terminal && n%rarely == 0:
				fmt.Fprintln(s.program.Err, s.session.Text.T(key, n))
			}
		}, func() {
			if shown {
				fmt.Fprint(s.program.Err, "\r\x1b[K")
			}
		}
}

func since(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Local().Format(time.DateTime)
}
