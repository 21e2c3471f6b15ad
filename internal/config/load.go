package config

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds a configuration file; a longer one is something else.
const maxFile = 1 << 20

// Problem is one thing that is wrong, with the path of the field.
type Problem struct {
	Path string
	Line int // 0 if it did not come from a file
	Text string
}

// Error is the problem as one line.
func (p Problem) Error() string {
	if p.Line > 0 {
		return fmt.Sprintf("line %d: %s: %s", p.Line, p.Path, p.Text)
	}
	return p.Path + ": " + p.Text
}

// Load reads a file over the defaults and validates the result.
func Load(path string) (Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Config{}, fmt.Errorf("configuration %s: %w", path, err)
	}
	c, err := Parse(b)
	if err != nil {
		return Config{}, fmt.Errorf("configuration %s: %w", path, err)
	}
	return c, nil
}

// Parse reads YAML over the defaults and validates the result.
func Parse(b []byte) (Config, error) {
	c := Default()
	if len(b) > maxFile {
		return Config{}, fmt.Errorf("the file is larger than %d bytes", maxFile)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return Config{}, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(doc.Content) == 0 { // nothing but comments
		return c, c.Validate()
	}
	if problems := unknownFields(doc.Content[0], reflect.TypeFor[Config](), ""); len(problems) > 0 {
		return Config{}, errors.Join(problems...)
	}
	if err := doc.Decode(&c); err != nil {
		return Config{}, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	return c, c.Validate()
}

// unknownFields compares a node with the type that it is read into.
func unknownFields(n *yaml.Node, t reflect.Type, path string) []error {
	if n.Kind == yaml.AliasNode {
		return []error{Problem{at(path), n.Line, "aliases are not allowed here"}}
	}
	if t.Kind() != reflect.Struct || n.Tag == "!!null" {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return []error{Problem{at(path), n.Line, "expected a mapping"}}
	}
	known := map[string]reflect.Type{}
	for i := range t.NumField() {
		known[t.Field(i).Tag.Get("yaml")] = t.Field(i).Type
	}
	var problems []error
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		field := strings.TrimPrefix(path+"."+key.Value, ".")
		typ, ok := known[key.Value]
		if !ok {
			problems = append(problems, Problem{field, key.Line, "no such field; known here: " + strings.Join(slices.Sorted(maps.Keys(known)), ", ")})
			continue
		}
		problems = append(problems, unknownFields(n.Content[i+1], typ, field)...)
	}
	return problems
}

func at(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}
