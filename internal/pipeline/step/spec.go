package step

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Spec tells the agent what to do around the user's command.
type Spec struct {
	Namespace string  `json:"namespace"`
	Inputs    []Input `json:"inputs,omitempty"`
	// Script is written to a file whose path becomes the command's last argument.
	Script *string `json:"script,omitempty"`

	Parameters []OutputParameter `json:"parameters,omitempty"`
	Artifacts  []OutputArtifact  `json:"artifacts,omitempty"`
	// Result asks for the standard output.
	Result bool `json:"result,omitempty"`

	// Message is the file of the termination message.
	Message string `json:"message"`
	// Limit of the message in bytes; it shrinks when a pod has many containers.
	Limit int `json:"limit,omitempty"`
	// ReportKey is where a report goes that is too large for the message.
	ReportKey string `json:"reportKey"`
}

// Input is an artifact that must be there before the command runs.
type Input struct {
	Name string  `json:"name"`
	Path string  `json:"path"`
	Mode *int32  `json:"mode,omitempty"`
	Raw  *string `json:"raw,omitempty"`
	Key  string  `json:"key,omitempty"`
	// Plain says that the object is the file itself, even if it looks like an archive.
	Plain    bool `json:"plain,omitempty"`
	Optional bool `json:"optional,omitempty"`
}

// OutputParameter is read from a file after the command.
type OutputParameter struct {
	Name       string  `json:"name"`
	Path       string  `json:"path"`
	Default    *string `json:"default,omitempty"`
	GlobalName string  `json:"globalName,omitempty"`
}

// OutputArtifact is stored after the command.
type OutputArtifact struct {
	Name       string `json:"name"`
	Path       string `json:"path"`
	Key        string `json:"key"`
	Plain      bool   `json:"plain,omitempty"` // a file as it is, instead of tar with gzip
	Level      *int32 `json:"level,omitempty"`
	Optional   bool   `json:"optional,omitempty"`
	GlobalName string `json:"globalName,omitempty"`
}

// Report is what came out.
type Report struct {
	// Version marks a message as ours.
	Version    int         `json:"kiwerk"`
	ExitCode   int         `json:"exitCode"`
	Error      string      `json:"error,omitempty"`   // of the agent, not of the command
	Message    string      `json:"message,omitempty"` // that the command itself left
	Result     *string     `json:"result,omitempty"`
	Parameters []Parameter `json:"parameters,omitempty"`
	Artifacts  []Artifact  `json:"artifacts,omitempty"`
	// Key is where the whole report lies, when it is not here.
	Key string `json:"key,omitempty"`
}

// Parameter is an output parameter with its value.
type Parameter struct {
	Name       string `json:"name"`
	Value      string `json:"value"`
	GlobalName string `json:"globalName,omitempty"`
}

// Artifact is an output artifact that is stored.
type Artifact struct {
	Name       string `json:"name"`
	Key        string `json:"key"`
	Path       string `json:"path,omitempty"`
	Plain      bool   `json:"plain,omitempty"`
	GlobalName string `json:"globalName,omitempty"`
}

const (
	// ExitAgent is the exit code for a failure that is not the command's.
	ExitAgent = 64
	// reportVersion of Report.
	reportVersion = 1
	// MaxMessage is how much of a termination message Kubernetes keeps.
	MaxMessage = 4096
	// MaxResult is how much of the end of the standard output is kept.
	MaxResult = 256 << 10
	// MaxParameter bounds an output parameter.
	MaxParameter = 256 << 10
	// DefaultMessage is Kubernetes' default file of the termination message.
	DefaultMessage = "/dev/termination-log"

	// Env carries the spec; a long one goes on in Env_1, Env_2 and so on.
	Env      = "KIWERK_STEP"
	envChunk = 96 << 10 // one variable may have 128 KiB on Linux
	maxSpec  = 1 << 20
)

// Variable is an environment variable.
type Variable struct{ Name, Value string }

// Encode writes a spec as environment variables.
func (s Spec) Encode() ([]Variable, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	if len(b) > maxSpec {
		return nil, fmt.Errorf("script and raw artifacts take %d bytes, at most %d fit into a pod", len(b), maxSpec)
	}
	var vars []Variable
	for i := 0; len(b) > 0; i++ {
		n := min(len(b), envChunk)
		for n < len(b) && !utf8.RuneStart(b[n]) {
			n-- // a value must be valid UTF-8 by itself
		}
		vars = append(vars, Variable{envName(i), string(b[:n])})
		b = b[n:]
	}
	return vars, nil
}

func envName(i int) string {
	if i == 0 {
		return Env
	}
	return Env + "_" + strconv.Itoa(i)
}

// DecodeSpec reads the spec from the environment and returns the rest of it.
func DecodeSpec(environ []string) (Spec, []string, error) {
	values := map[string]string{}
	rest := make([]string, 0, len(environ))
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if name == Env || strings.HasPrefix(name, Env+"_") {
			values[name] = value
			continue
		}
		rest = append(rest, kv)
	}
	var text strings.Builder
	for i := range len(values) {
		text.WriteString(values[envName(i)])
	}
	if text.Len() == 0 {
		return Spec{}, rest, errors.New("no spec in the environment (" + Env + ")")
	}
	if text.Len() > maxSpec {
		return Spec{}, rest, fmt.Errorf("spec is larger than %d bytes", maxSpec)
	}
	var s Spec
	if err := json.Unmarshal([]byte(text.String()), &s); err != nil {
		return Spec{}, rest, fmt.Errorf("spec: %w", err)
	}
	return s, rest, s.check()
}

func (s Spec) check() error {
	if s.Message == "" || !filepath.IsAbs(s.Message) {
		return fmt.Errorf("spec.message %q is not an absolute path", s.Message)
	}
	for _, in := range s.Inputs {
		if !filepath.IsAbs(in.Path) {
			return fmt.Errorf("input artifact %s: path %q is not absolute", in.Name, in.Path)
		}
	}
	for _, p := range s.Parameters {
		if p.Path == "" {
			return fmt.Errorf("output parameter %s has no path", p.Name)
		}
	}
	for _, a := range s.Artifacts {
		if a.Path == "" || a.Key == "" {
			return fmt.Errorf("output artifact %s needs a path and a key", a.Name)
		}
	}
	return nil
}

// ParseReport reads a termination message. The bool is false when it is not one of ours.
func ParseReport(message string) (Report, bool) {
	var r Report
	if json.Unmarshal([]byte(message), &r) != nil || r.Version != reportVersion {
		return Report{}, false
	}
	return r, true
}
