package mcp

import (
	"fmt"
	"strings"
)

// Config is what the operator decides about the addresses of icons, which
// browsers load; the zero value is [DefaultConfig].
type Config struct {
	// Schemes that they may have.
	Schemes []string
	// AllowPrivate lets them be in private networks.
	AllowPrivate bool
	// Domains are the patterns that hosts must match, if there are any.
	Domains []string
}

// DefaultConfig is that of MLflow.
func DefaultConfig() Config { return Config{Schemes: []string{"https"}} }

// ConfigFromEnv reads the variables that MLflow's server has for icons.
func ConfigFromEnv(getenv func(string) string) (Config, error) {
	c := DefaultConfig()
	if list := split(getenv("MLFLOW_ICON_URL_ALLOWED_SCHEMES")); list != nil {
		c.Schemes = list
	}
	for _, s := range c.Schemes {
		if s != "http" && s != "https" {
			return c, fmt.Errorf("MLFLOW_ICON_URL_ALLOWED_SCHEMES names %q: only http and https can be shown", s)
		}
	}
	c.Domains = split(getenv("MLFLOW_ICON_URL_ALLOWED_DOMAINS"))
	switch v := strings.ToLower(getenv("MLFLOW_ICON_URL_ALLOW_PRIVATE_IPS")); v {
	case "true", "1":
		c.AllowPrivate = true
	case "", "false", "0":
	default:
		return c, fmt.Errorf("MLFLOW_ICON_URL_ALLOW_PRIVATE_IPS=%q: true or false is expected", v)
	}
	return c, nil
}

func split(list string) (out []string) {
	for s := range strings.SplitSeq(list, ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}
