package access

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Config is what MLflow's ini file and environment say.
type Config struct {
	// Standard is the permission without a grant.
	Standard string
	// Admin and Password make the first administrator.
	Admin, Password string
	// OpenDefault lets everybody use the default workspace.
	OpenDefault bool
	// Workspaces are kept apart.
	Workspaces bool
}

// ErrNoAdmin means that nobody could log in.
var ErrNoAdmin = errors.New("there is no user yet, and no password for the first administrator")

// legacyPassword was upstream's for every installation; an advisory names it.
const legacyPassword = "password1234"

// ReadConfig reads the file that MLFLOW_AUTH_CONFIG_PATH names, if it is set,
// and the variables that stand over it.
func ReadConfig(getenv func(string) string) (Config, error) {
	c := Config{Standard: Read, Admin: "admin"}
	if path := getenv("MLFLOW_AUTH_CONFIG_PATH"); path != "" {
		f, err := os.Open(path)
		if err != nil {
			return c, fmt.Errorf("MLFLOW_AUTH_CONFIG_PATH: %w", err)
		}
		defer f.Close()
		if err := c.read(bufio.NewScanner(f)); err != nil {
			return c, fmt.Errorf("%s: %w", path, err)
		}
	}
	if v := getenv("MLFLOW_AUTH_ADMIN_USERNAME"); v != "" {
		c.Admin = v
	}
	if v := getenv("MLFLOW_AUTH_ADMIN_PASSWORD"); v != "" {
		c.Password = v
	}
	if _, ok := rank[c.Standard]; !ok {
		return c, fmt.Errorf("default_permission %q is none of READ, USE, EDIT, MANAGE, NO_PERMISSIONS", c.Standard)
	}
	return c, nil
}

// read takes the section [mlflow] of an ini file as Python's configparser does.
func (c *Config) read(lines *bufio.Scanner) error {
	section := ""
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
			continue
		case line[0] == '[' && strings.HasSuffix(line, "]"):
			section = line[1 : len(line)-1]
			continue
		}
		i := strings.IndexAny(line, "=:")
		if i < 0 {
			return fmt.Errorf("line %d: expected name = value", n)
		}
		if section != "mlflow" {
			continue
		}
		if err := c.set(strings.ToLower(strings.TrimSpace(line[:i])), strings.TrimSpace(line[i+1:])); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return lines.Err()
}

func (c *Config) set(name, value string) error {
	switch name {
	case "default_permission":
		c.Standard = value
	case "admin_username":
		c.Admin = value
	case "admin_password":
		c.Password = value
	case "grant_default_workspace_access":
		c.OpenDefault = strings.EqualFold(value, "true") || value == "1" || strings.EqualFold(value, "yes") || strings.EqualFold(value, "on")
	case "authorization_function":
		if !strings.HasSuffix(value, ":authenticate_request_basic_auth") {
			return fmt.Errorf("authorization_function %q is Python and cannot be called; users log in with a name and a password", value)
		}
	}
	return nil // users live in the server's own database, and caches need no settings
}
