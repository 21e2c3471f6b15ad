package cli

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kiwerk/kiwerk/internal/text"
)

// ServeOptions of kiwerk tracking serve; the names are those of `mlflow server`.
type ServeOptions struct {
	Host                  string
	Port                  int
	BackendStore          string
	RegistryStore         string
	WorkspaceStore        string
	ArtifactRoot          string
	Artifacts             string
	ServeArtifacts        bool
	ArtifactsOnly         bool
	StaticPrefix          string
	AllowedHosts, Origins []string
	FrameOptions          string
	NoSecurity            bool
	Metrics               bool
	BasicAuth             bool
	Workspaces            bool
	CertFile, KeyFile     string
	Insecure              bool
	// Ignored are the flags that were given and mean nothing here.
	Ignored []string
}

func (t *tree) tracking() *cobra.Command {
	parent := &cobra.Command{
		Use: "tracking", Short: t.T(text.TrackingShort), Args: t.noArguments,
		Example: "  kiwerk tracking serve\n  kiwerk tracking import sqlite:///mlflow.db",
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	parent.AddCommand(t.trackingServe(), t.trackingImport(), t.trackingExport())
	return parent
}

// meaningless are flags of `mlflow server` about its processes and caches, with a type for pflag.
var meaningless = map[string]string{
	"workers": "4", "gunicorn-opts": "", "waitress-opts": "", "uvicorn-opts": "", "trace-archival-config": "",
	"secrets-cache-ttl": "60", "secrets-cache-max-size": "1000", "read-replica-backend-store-uri": "",
}

// environment is where `mlflow server` reads a flag that is not given.
var environment = map[string]string{
	"host": "MLFLOW_HOST", "port": "MLFLOW_PORT", "workers": "MLFLOW_WORKERS",
	"backend-store-uri": "MLFLOW_BACKEND_STORE_URI", "registry-store-uri": "MLFLOW_REGISTRY_STORE_URI",
	"read-replica-backend-store-uri": "MLFLOW_READ_REPLICA_BACKEND_STORE_URI",
	"default-artifact-root":          "MLFLOW_DEFAULT_ARTIFACT_ROOT", "artifacts-destination": "MLFLOW_ARTIFACTS_DESTINATION",
	"serve-artifacts": "MLFLOW_SERVE_ARTIFACTS", "artifacts-only": "MLFLOW_ARTIFACTS_ONLY", "static-prefix": "MLFLOW_STATIC_PREFIX",
	"gunicorn-opts": "MLFLOW_GUNICORN_OPTS", "uvicorn-opts": "MLFLOW_UVICORN_OPTS", "expose-prometheus": "MLFLOW_EXPOSE_PROMETHEUS",
	"workspace-store-uri": "MLFLOW_WORKSPACE_STORE_URI", "enable-workspaces": "MLFLOW_ENABLE_WORKSPACES",
	"allowed-hosts": "MLFLOW_SERVER_ALLOWED_HOSTS", "cors-allowed-origins": "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS",
	"disable-security-middleware": "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE", "x-frame-options": "MLFLOW_SERVER_X_FRAME_OPTIONS",
}

func (t *tree) trackingServe() *cobra.Command {
	var o ServeOptions
	var app, prometheus string
	var noArtifacts, noWorkspaces, dev bool
	c := &cobra.Command{
		Use: "serve", Short: t.T(text.TrackingServeShort), Long: t.T(text.TrackingServeLong), Args: t.noArguments,
		Example: "  kiwerk tracking serve\n  kiwerk tracking serve --port 0 --backend-store-uri sqlite:///runs.db --artifacts-destination ./artifacts\n" +
			"  kiwerk tracking serve --host 0.0.0.0 --app-name basic-auth --tls-cert-file tls.crt --tls-key-file tls.key",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := t.fromEnvironment(c.Flags()); err != nil {
				return err
			}
			if err := o.check(app, c.Flags()); err != nil {
				return err
			}
			o.BasicAuth, o.Metrics = app != "", prometheus != ""
			o.ServeArtifacts = o.ServeArtifacts && !noArtifacts
			o.Workspaces = o.Workspaces && !noWorkspaces
			read := o.certificates(c.Flags())
			c.Flags().VisitAll(func(f *pflag.Flag) {
				if _, none := meaningless[f.Name]; f.Changed && f.Name != read && (none || f.Name == "dev") {
					o.Ignored = append(o.Ignored, "--"+f.Name)
				}
			})
			return t.program.Tracking.Serve(c.Context(), t.session, o)
		},
	}
	f := c.Flags()
	f.Bool("help", false, t.T(text.HelpFlag)) // -h is the host, as with `mlflow server`
	f.StringVarP(&o.Host, "host", "h", "127.0.0.1", t.T(text.FlagServeHost))
	f.IntVarP(&o.Port, "port", "p", 5000, t.T(text.FlagServePort))
	f.StringVar(&o.BackendStore, "backend-store-uri", "sqlite:///mlflow.db", t.T(text.FlagBackendStore))
	f.StringVar(&o.RegistryStore, "registry-store-uri", "", t.T(text.FlagRegistryStore))
	f.StringVar(&o.WorkspaceStore, "workspace-store-uri", "", t.T(text.FlagRegistryStore))
	f.StringVar(&o.ArtifactRoot, "default-artifact-root", "", t.T(text.FlagArtifactRoot))
	f.StringVar(&o.Artifacts, "artifacts-destination", "./mlartifacts", t.T(text.FlagArtifactsDestination))
	f.BoolVar(&o.ServeArtifacts, "serve-artifacts", true, t.T(text.FlagServeArtifacts))
	f.BoolVar(&noArtifacts, "no-serve-artifacts", false, t.T(text.FlagNoServeArtifacts))
	f.BoolVar(&o.ArtifactsOnly, "artifacts-only", false, t.T(text.FlagArtifactsOnly))
	f.StringVar(&o.StaticPrefix, "static-prefix", "", t.T(text.FlagStaticPrefix))
	f.StringSliceVar(&o.AllowedHosts, "allowed-hosts", nil, t.T(text.FlagAllowedHosts))
	f.StringSliceVar(&o.Origins, "cors-allowed-origins", nil, t.T(text.FlagOrigins))
	f.StringVar(&o.FrameOptions, "x-frame-options", "SAMEORIGIN", t.T(text.FlagFrameOptions))
	f.BoolVar(&o.NoSecurity, "disable-security-middleware", false, t.T(text.FlagNoSecurity))
	f.StringVar(&prometheus, "expose-prometheus", "", t.T(text.FlagPrometheus))
	f.StringVar(&app, "app-name", "", t.T(text.FlagAppName))
	f.BoolVar(&o.Workspaces, "enable-workspaces", false, t.T(text.FlagWorkspaces))
	f.BoolVar(&noWorkspaces, "disable-workspaces", false, t.T(text.FlagNoWorkspaces))
	f.StringVar(&o.CertFile, "tls-cert-file", "", t.T(text.FlagCertFile))
	f.StringVar(&o.KeyFile, "tls-key-file", "", t.T(text.FlagKeyFile))
	f.BoolVar(&o.Insecure, "insecure", false, t.T(text.FlagInsecure))
	f.BoolVar(&dev, "dev", false, t.T(text.FlagMeaningless))
	for name, standard := range meaningless {
		short := ""
		if name == "workers" {
			short = "w"
		}
		f.StringP(name, short, standard, t.T(text.FlagMeaningless))
	}
	return c
}

// check refuses what cannot be served.
func (o *ServeOptions) check(app string, given *pflag.FlagSet) error {
	switch {
	case app != "" && app != "basic-auth":
		return usage(text.S(text.UsageAppName, app), "kiwerk tracking serve --app-name basic-auth")
	case o.Port < 0 || o.Port > math.MaxUint16:
		return usage(text.S(text.UsagePort, strconv.Itoa(o.Port)), "kiwerk tracking serve --port 5000")
	case !slices.Contains([]string{"sameorigin", "deny", "none"}, strings.ToLower(o.FrameOptions)):
		return usage(text.S(text.UsageFrame, o.FrameOptions), "kiwerk tracking serve --x-frame-options DENY")
	case o.ArtifactsOnly && app == "" && given.Changed("backend-store-uri"):
		return usage(text.S(text.UsageArtifactsOnly), "kiwerk tracking serve --artifacts-only --artifacts-destination "+text.Quote(o.Artifacts))
	}
	return nil
}

// fromEnvironment gives flags that were not given the values that `mlflow
// server` would find in the environment.
func (t *tree) fromEnvironment(f *pflag.FlagSet) error {
	for flag, name := range environment {
		v := t.program.Getenv(name)
		if v == "" || f.Changed(flag) || flag == "serve-artifacts" && f.Changed("no-serve-artifacts") {
			continue
		}
		set := v
		if f.Lookup(flag).Value.Type() == "bool" {
			set = pythonBool(v)
		}
		if err := f.Set(flag, set); err != nil {
			return usage(text.S(text.UsageEnvironment, name, v), "kiwerk tracking serve --help")
		}
	}
	return nil
}

// pythonBool is a word that `mlflow server` takes for a boolean as one of Go's; others stay as they are.
func pythonBool(word string) string {
	switch strings.ToLower(word) {
	case "1", "true", "yes", "on", "t", "y":
		return "true"
	case "0", "false", "no", "off", "f", "n":
		return "false"
	}
	return word
}

// certificates finds those that are meant for mlflow's web servers, and tells in which flag.
func (o *ServeOptions) certificates(f *pflag.FlagSet) (read string) {
	for flag, names := range map[string][2]string{
		"uvicorn-opts": {"--ssl-certfile", "--ssl-keyfile"}, "gunicorn-opts": {"--certfile", "--keyfile"},
	} {
		words := strings.Fields(strings.ReplaceAll(f.Lookup(flag).Value.String(), "=", " "))
		for i, w := range words[:max(0, len(words)-1)] {
			switch {
			case w == names[0] && o.CertFile == "":
				o.CertFile, read = words[i+1], flag
			case w == names[1] && o.KeyFile == "":
				o.KeyFile, read = words[i+1], flag
			}
		}
	}
	return read
}
