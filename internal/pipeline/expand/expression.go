package expand

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/Masterminds/sprig/v3"
	"github.com/evilmonkeyinc/jsonpath"
	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/parser"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/text/plain"
)

// Evaluate runs an expression over the variables of the scope.
func (s *Scope) Evaluate(code string) (any, error) {
	if len(code) > maxExpression {
		return nil, fmt.Errorf("the expression is longer than %d bytes", maxExpression)
	}
	env := s.environment()
	program, err := expr.Compile(code, expr.Env(env), expr.AllowUndefinedVariables())
	if err != nil {
		return nil, firstLine(err)
	}
	v, err := expr.Run(program, env)
	if err != nil {
		return nil, firstLine(err)
	}
	return v, nil
}

// EvaluateBool is Evaluate for conditions.
func (s *Scope) EvaluateBool(code string) (bool, error) {
	v, err := s.Evaluate(code)
	if err != nil {
		return false, fmt.Errorf("failed to evaluate %q: %w", code, err)
	}
	b, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("expression %q gives %v, not true or false", code, v)
	}
	return b, nil
}

// artifactMark begins the value of an artifact in an expression.
const artifactMark = "artifact://"

// EvaluateArtifact runs an expression that chooses an artifact.
func (s *Scope) EvaluateArtifact(code string) (argo.Artifact, error) {
	code = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(code), "{{="), "}}")
	v, err := s.Evaluate(code)
	if err != nil {
		return argo.Artifact{}, fmt.Errorf("failed to evaluate %q: %w", code, err)
	}
	text, _ := v.(string)
	if name, ok := strings.CutPrefix(text, artifactMark); ok {
		if a, ok := s.Artifact(name); ok {
			return a, nil
		}
	}
	return argo.Artifact{}, fmt.Errorf("expression %q does not give an artifact", code)
}

// Stringify turns the value of an expression into text: strings as they are, all else as JSON.
func Stringify(v any) (string, error) {
	if v == nil {
		return "", errors.New("the expression has no value")
	}
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.String {
		return rv.String(), nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("the value is not JSON: %w", err)
	}
	return string(b), nil
}

const (
	maxExpression = 16 << 10
	// maxRepeat bounds functions whose argument is a size.
	maxRepeat = 100_000
)

// firstLine drops the picture of the source that the compiler adds: messages
// land in conditions, where a line is what people can read.
func firstLine(err error) error {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return errors.New(line)
}

func (s *Scope) environment() map[string]any {
	if s.env != nil {
		return s.env
	}
	env := nest(s.Vars())
	for at := s; at != nil; at = at.outer {
		for name := range at.absent {
			if _, ok := s.Lookup(name); !ok {
				put(env, strings.Split(name, "."), nil)
			}
		}
	}
	for at := s; at != nil; at = at.outer {
		for name := range at.artifacts {
			put(env, strings.Split(name, "."), artifactMark+name)
		}
	}
	env["asInt"] = asInt
	env["asFloat"] = asFloat
	env["toJson"] = toJSON
	env["jsonpath"] = queryJSON
	env["sprig"] = sprigFunctions()
	s.env = env
	return env
}

// nest turns dotted names into maps; "a.b" wins over "a" where both exist.
func nest(vars map[string]string) map[string]any {
	names := make([]string, 0, len(vars))
	for n := range vars {
		names = append(names, n)
	}
	sort.Strings(names)
	env := make(map[string]any, len(names))
	for _, n := range names {
		put(env, strings.Split(n, "."), vars[n])
	}
	return env
}

func put(env map[string]any, path []string, value any) {
	for _, p := range path[:len(path)-1] {
		next, ok := env[p].(map[string]any)
		if !ok {
			next = map[string]any{}
			env[p] = next
		}
		env = next
	}
	last := path[len(path)-1]
	if _, isMap := env[last].(map[string]any); isMap {
		return
	}
	env[last] = value
}

func asInt(v any) (int, error) {
	switch v := v.(type) {
	case int:
		return v, nil
	case float64:
		return int(v), nil
	case string:
		n, err := strconv.Atoi(strings.TrimSpace(v))
		return n, plain.Error(err)
	default:
		return 0, fmt.Errorf("asInt: %v is no number", v)
	}
}

func asFloat(v any) (float64, error) {
	switch v := v.(type) {
	case int:
		return float64(v), nil
	case float64:
		return v, nil
	case string:
		f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		return f, plain.Error(err)
	default:
		return 0, fmt.Errorf("asFloat: %v is no number", v)
	}
}

func toJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

func queryJSON(text, path string) (any, error) {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return nil, fmt.Errorf("jsonpath: the text is not JSON: %w", err)
	}
	return jsonpath.Query(path, v)
}

// sprigFunctions leaves out what reads the machine (environment, DNS) and what
// costs seconds of CPU, and bounds what multiplies its input.
var sprigFunctions = sync.OnceValue(func() map[string]any {
	fns := sprig.GenericFuncMap()
	for _, name := range []string{
		"env", "expandenv", "getHostByName", "bcrypt", "htpasswd", "derivePassword", "genPrivateKey", "genCA", "genCAWithKey",
		"genSelfSignedCert", "genSelfSignedCertWithKey", "genSignedCert", "genSignedCertWithKey",
	} {
		delete(fns, name)
	}
	for _, name := range []string{
		"repeat", "indent", "nindent", "randAlphaNum", "randAlpha", "randAscii", "randNumeric", "randBytes", "until", "untilStep", "seq",
	} {
		if fn, ok := fns[name]; ok {
			fns[name] = bounded(name, fn)
		}
	}
	return fns
})

// bounded refuses integers that are too large for a function.
func bounded(name string, fn any) func(args ...any) (any, error) {
	f := reflect.ValueOf(fn)
	return func(args ...any) (any, error) {
		if want := f.Type().NumIn(); !f.Type().IsVariadic() && len(args) != want {
			return nil, fmt.Errorf("sprig.%s takes %d arguments, got %d", name, want, len(args))
		}
		in := make([]reflect.Value, len(args))
		for i, a := range args {
			if n, ok := a.(int); ok && (n > maxRepeat || n < -maxRepeat) {
				return nil, fmt.Errorf("sprig.%s: %d is larger than %d", name, n, maxRepeat)
			}
			v, ok := convert(a, argumentType(f.Type(), i))
			if !ok {
				return nil, fmt.Errorf("sprig.%s: argument %d is of the wrong type", name, i+1)
			}
			in[i] = v
		}
		out := f.Call(in)
		if len(out) == 2 && !out[1].IsNil() {
			if err, ok := out[1].Interface().(error); ok {
				return nil, err
			}
		}
		return out[0].Interface(), nil
	}
}

func argumentType(f reflect.Type, i int) reflect.Type {
	if last := f.NumIn() - 1; f.IsVariadic() && i >= last {
		return f.In(last).Elem()
	}
	return f.In(i)
}

// convert gives an argument the type that a function wants; numbers do not become text.
func convert(a any, want reflect.Type) (reflect.Value, bool) {
	v := reflect.ValueOf(a)
	if !v.IsValid() || !v.Type().ConvertibleTo(want) || want.Kind() == reflect.String && v.Kind() != reflect.String {
		return reflect.Value{}, false
	}
	return v.Convert(want), true
}

// CheckExpression tells whether an expression can be read at all.
func CheckExpression(code string) error {
	if len(code) > maxExpression {
		return fmt.Errorf("the expression is longer than %d bytes", maxExpression)
	}
	if strings.Contains(code, "{{") {
		return nil // complete only at run time
	}
	if _, err := parser.Parse(code); err != nil {
		return firstLine(err)
	}
	return nil
}
