package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/kiwerk/kiwerk/internal/buildinfo"
	"github.com/kiwerk/kiwerk/internal/lint"
	"github.com/kiwerk/kiwerk/internal/text"
)

// result of a command.
type result struct {
	code     int
	out, err string
}

var started = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

// runners answer with fixed values; what they were called with goes to seen.
func runners(seen *[]any) Runners {
	note := func(args ...any) { *seen = append(*seen, args...) }
	return Runners{
		Up:   func(_ context.Context, s Session, o UpOptions) error { note(s.DataDir, o); return nil },
		Down: func(_ context.Context, s Session, o DownOptions) error { note(s.DataDir, o); return nil },
		Status: func(context.Context, Session) (*Status, error) {
			return &Status{
				State: StateReady, DataDir: "/d", Started: &started, Addresses: map[string]string{"platform": "http://127.0.0.1:7878"},
				Pods:      []Pod{{Namespace: "default", Name: "a", Phase: "Running", Image: "busybox → the host's own tools"}},
				Listeners: []Listener{{Pod: "default/a", Address: "0.0.0.0:80", Process: "nc", PID: 7, Open: true}},
				Notes:     []Note{{Reason: "StartedAsRoot", Message: text.S(text.NoteRoot)}},
			}, nil
		},
		Doctor: func(context.Context, Session) (*Diagnosis, error) {
			return &Diagnosis{Findings: []Finding{{Name: "namespaces", Level: LevelOK, Message: text.S(text.DoctorUserNS)}}}, nil
		},
		Demo:         func(_ context.Context, _ Session, o DemoOptions) error { note(o); return nil },
		Kubectl:      func(_ context.Context, s Session, args []string) error { note(s.DataDir, args); return nil },
		ControlPlane: func(_ context.Context, s Session) error { note(s.DataDir); return nil },
		Daemon:       func(context.Context, Session) error { return nil },
		Tracking: Tracking{
			Serve: func(_ context.Context, _ Session, o ServeOptions) error { note(o); return nil },
			Import: func(_ context.Context, _ Session, o ImportOptions) (*Imported, error) {
				note(o)
				return &Imported{
					Source: o.Source, Lines: []ImportedKind{{Kind: "runs", Source: 2, Here: 2, Sum: "00ff", Same: true}}, Copied: 1, Bytes: 2, Elsewhere: 3, Refused: []string{`a\b`},
				}, nil
			},
			Export: func(_ context.Context, _ Session, o ExportOptions) (*Exported, error) {
				note(o)
				return &Exported{Dir: o.Dir, Runs: 2, Refused: []string{"a/b"}}, nil
			},
		},
		Node: Node{
			List: func(context.Context, Session) (*Nodes, error) {
				return &Nodes{Items: []NodeStatus{{Name: "laptop", Ready: true, CPU: "8", Memory: "16Gi", GPUs: map[string]string{"gpu": "2"}}, {Name: "sim-0", Simulated: true}}}, nil
			},
			Simulate: func(_ context.Context, _ Session, o SimulateOptions) (*NodesDone, error) {
				note(o)
				return &NodesDone{Nodes: make([]string, o.Count)}, nil
			},
			Remove: func(_ context.Context, _ Session, names []string, simulated bool) (*NodesDone, error) {
				note(names, simulated)
				return &NodesDone{Nodes: names}, nil
			},
		},
		GPU: GPU{
			List: func(context.Context, Session) (*GPUs, error) {
				return &GPUs{Items: []GPUStatus{
					{Index: 0, UUID: "GPU-a", Name: "NVIDIA H100", Memory: 81559, Healthy: true, Holders: []GPUHolder{{Namespace: "default", Pod: "train"}}},
					{Index: 1, UUID: "GPU-b", Name: "NVIDIA H100", Memory: 81559, Reason: "Xid 79", Instances: []GPUInstance{{Profile: "1g.10gb"}}},
				}}, nil
			},
			Fail: func(_ context.Context, _ Session, gpu string, xid uint64) (*GPUDone, error) {
				note(gpu, xid)
				return &GPUDone{Index: 1, UUID: "GPU-b", Name: "NVIDIA H100"}, nil
			},
			Recover: func(_ context.Context, _ Session, gpu string) (*GPUDone, error) {
				note(gpu)
				return &GPUDone{Index: 1, UUID: "GPU-b", Name: "NVIDIA H100"}, nil
			},
		},
		DryRun: func(_ context.Context, _ Session, kubeconfig string, objects []lint.Object) ([]lint.Refusal, error) {
			note(kubeconfig)
			return []lint.Refusal{{Object: objects[0], Path: "metadata.name", Message: "no"}}, nil
		},
		Images: Images{
			Load: func(_ context.Context, _ Session, f *os.File, name string) (*ImageList, error) {
				note(f.Name(), name)
				return images(), nil
			},
			Pull: func(_ context.Context, _ Session, name string, login *Login) (*ImageList, error) {
				note(name, login)
				return images(), nil
			},
			List: func(context.Context, Session) (*ImageList, error) { return images(), nil },
			Show: func(_ context.Context, _ Session, name string) (*Image, error) {
				note(name)
				return &images().Items[0], nil
			},
			Rm: func(_ context.Context, _ Session, name string) (*ImagesRemoved, error) {
				note(name)
				return &ImagesRemoved{Images: []string{"sha256:0"}, Layers: 1, Bytes: 1500}, nil
			},
			Prune: func(_ context.Context, _ Session, all bool) (*ImagesRemoved, error) {
				note(all)
				return &ImagesRemoved{Images: []string{}}, nil
			},
		},
		Call:           argoServer(nil),
		TrackingServer: askTracking,
		Retrain: Retrain{
			List: func(_ context.Context, _ Session, ns string) (*Retrainings, error) {
				return &Retrainings{Items: []Retraining{{Namespace: ns, Policy: "digits", ID: "r1", Phase: "Canary", Time: started}}}, nil
			},
			Approve: func(_ context.Context, _ Session, ns, name string, approve bool, reason string) error {
				note(ns, name, approve, reason)
				return nil
			},
		},
	}
}

func program(seen *[]any, env map[string]string, args ...string) (Program, *bytes.Buffer, *bytes.Buffer) {
	var out, errs bytes.Buffer
	return Program{
		Args: args, In: strings.NewReader(""), Out: &out, Err: &errs, Home: "/home/somebody",
		Getenv: func(k string) string { return env[k] }, Runners: runners(seen),
	}, &out, &errs
}

func run(t *testing.T, env map[string]string, args ...string) (result, []any) {
	t.Helper()
	var seen []any
	p, out, errs := program(&seen, env, args...)
	code := Run(t.Context(), p)
	return result{code, out.String(), errs.String()}, seen
}

// walk visits each command of the tree with its path.
func walk(c *cobra.Command, path []string, visit func(*cobra.Command, []string)) {
	visit(c, path)
	for _, child := range c.Commands() {
		walk(child, append(append([]string{}, path...), child.Name()), visit)
	}
}

func TestTree_followsTheRules(t *testing.T) {
	for _, lang := range text.Languages {
		var seen []any
		p, _, _ := program(&seen, nil)
		tree := &tree{program: p, session: Session{Text: text.For(lang)}}
		walk(tree.root(), nil, func(c *cobra.Command, path []string) {
			name := strings.Join(append([]string{"kiwerk"}, path...), " ")
			if c.Short == "" || strings.Contains(c.Short, "command.") {
				t.Errorf("%s (%s): no summary: %q", name, lang, c.Short)
			}
			if !strings.Contains(c.Example, "kiwerk") {
				t.Errorf("%s: no example", name)
			}
			if c.RunE == nil {
				t.Errorf("%s does nothing", name)
			}
			for line := range strings.Lines(c.Example) {
				if !strings.HasPrefix(strings.TrimSpace(line), "kiwerk ") {
					t.Errorf("%s: the example %q is no command", name, line)
				}
			}
		})
	}
}

// TestTree_printsDataThatParses runs each command that has -o in each format.
func TestTree_printsDataThatParses(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("FILE", nil, 0o600); err != nil { // an argument of some
		t.Fatal(err)
	}
	var seen []any
	p, _, _ := program(&seen, nil)
	tree := &tree{program: p, session: Session{Text: text.For("en")}}
	found := 0
	walk(tree.root(), nil, func(c *cobra.Command, path []string) {
		if c.Flags().Lookup("output") == nil {
			return
		}
		found++
		path = argumentsOf(c, path)
		for _, format := range formats {
			args := append(append([]string{}, path...), "-o", format)
			r, _ := run(t, nil, args...)
			var v map[string]any
			var err error
			switch format {
			case "json":
				err = json.Unmarshal([]byte(r.out), &v)
			case "yaml":
				err = yaml.Unmarshal([]byte(r.out), &v)
			}
			if r.code != ExitOK || err != nil || r.out == "" || r.err != "" && format != "table" {
				t.Errorf("%v -o %s: code %d, error %v\nstdout: %s\nstderr: %s", path, format, r.code, err, r.out, r.err)
			}
		}
		if r, _ := run(t, nil, append(append([]string{}, path...), "-o", "xml")...); r.code != ExitUsage {
			t.Errorf("%v -o xml: code %d", path, r.code)
		}
	})
	if found < 4 {
		t.Errorf("only %d commands print data", found)
	}
}

func TestRun_usage(t *testing.T) {
	cases := map[string]struct {
		args []string
		env  map[string]string
		code int
		err  []string
		seen []any
	}{
		"UpDefaults": {args: []string{"up"}, seen: []any{"/home/somebody/.kiwerk", UpOptions{Timeout: startTimeout}}},
		"UpFlags": {
			args: []string{"up", "-d", "--listen", "127.0.0.1:0", "--data-dir", "/d"},
			seen: []any{"/d", UpOptions{Listen: "127.0.0.1:0", Detach: true, Timeout: startTimeout}},
		},
		"DataDirFromEnvironment": {args: []string{"down"}, env: map[string]string{"KIWERK_DATA_DIR": "/e"}, seen: []any{"/e", DownOptions{Timeout: 2 * time.Minute}}},
		"KubectlKeepsItsFlags":   {args: []string{"--data-dir", "/d", "kubectl", "get", "pods", "-A", "--help"}, seen: []any{"/d", []string{"get", "pods", "-A", "--help"}}},
		"UnknownCommand":         {args: []string{"dwn"}, code: ExitUsage, err: []string{`no command "kiwerk dwn"`, "kiwerk down"}},
		"UnknownCommandBelow":    {args: []string{"node", "lst"}, code: ExitUsage, err: []string{`no command "kiwerk node lst"`, "try: kiwerk node list"}},
		"UnknownHelp":            {args: []string{"help", "image", "lod"}, code: ExitUsage, err: []string{`no command "kiwerk image lod"`, "kiwerk image load"}},
		"UnknownFlag":            {args: []string{"up", "--detached"}, code: ExitUsage, err: []string{"--detached", "try: kiwerk up --help"}},
		"ExtraArgument":          {args: []string{"up", "now"}, code: ExitUsage, err: []string{"the call is: kiwerk up [--…]\n"}},
		"MissingArgument":        {args: []string{"retrain", "approve"}, code: ExitUsage, err: []string{"the call is: kiwerk retrain approve POLICY"}},
		"German":                 {args: []string{"dwn", "--lang", "de"}, code: ExitUsage, err: []string{"Fehler: ", "gibt es nicht", "Versuchen Sie: "}},
		"GermanFromLocale":       {args: []string{"dwn"}, env: map[string]string{"LANG": "de_DE.UTF-8"}, code: ExitUsage, err: []string{"Fehler: "}},
		"UnknownLanguage":        {args: []string{"up", "--lang", "fr"}, code: ExitUsage, err: []string{`"fr"`, "de, en", "try: kiwerk --lang de"}},
		"LanguageOfTheLocale":    {args: []string{"up"}, env: map[string]string{"LANG": "fr_FR.UTF-8"}, seen: []any{"/home/somebody/.kiwerk", UpOptions{Timeout: startTimeout}}},
		"RejectNeedsReason":      {args: []string{"retrain", "approve", "digits", "--reject"}, code: ExitUsage, err: []string{"--reason"}},
		"Approve":                {args: []string{"retrain", "approve", "digits", "-n", "team-a"}, seen: []any{"team-a", "digits", true, ""}, err: []string{"kiwerk retrain list"}},
		"Demo": {
			args: []string{"demo", "quality-inspection", "--bad-challenger", "--report", "r.json"},
			seen: []any{DemoOptions{Name: "quality-inspection", BadChallenger: true, Report: "r.json"}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r, seen := run(t, c.env, c.args...)
			if r.code != c.code {
				t.Errorf("code %d, want %d\n%s", r.code, c.code, r.err)
			}
			if r.out != "" {
				t.Errorf("talk on standard output: %s", r.out)
			}
			for _, part := range c.err {
				if !strings.Contains(r.err, part) {
					t.Errorf("stderr %q lacks %q", r.err, part)
				}
			}
			if diff := cmp.Diff(c.seen, seen); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestSuggestions_workWhenCopied: with another data directory than the usual
// one, each command that is suggested names it.
func TestSuggestions_workWhenCopied(t *testing.T) {
	cases := map[string]struct {
		args []string
		env  map[string]string
		want string
	}{
		"Usual":           {args: []string{"retrain", "approve", "digits"}, want: "Next: kiwerk retrain list"},
		"UsualByName":     {args: []string{"retrain", "approve", "digits", "--data-dir", "/home/somebody/.kiwerk"}, want: "Next: kiwerk retrain list"},
		"Flag":            {args: []string{"retrain", "approve", "digits", "--data-dir", "/d"}, want: "Next: kiwerk --data-dir /d retrain list"},
		"Environment":     {args: []string{"retrain", "approve", "digits"}, env: map[string]string{"KIWERK_DATA_DIR": "/d"}, want: "Next: kiwerk --data-dir /d retrain list"},
		"German":          {args: []string{"retrain", "approve", "digits", "--data-dir", "/d", "--lang=de"}, want: "Weiter: kiwerk --data-dir /d retrain list"},
		"Quoted":          {args: []string{"retrain", "approve", "digits", "--data-dir", "/it's 100%d"}, want: `Next: kiwerk --data-dir '/it'\''s 100%d' retrain list`},
		"Pipeline":        {args: []string{"pipeline", "submit", "--from", "train", "--data-dir", "/d"}, want: "Next: kiwerk --data-dir /d pipeline logs"},
		"Image":           {args: []string{"image", "pull", "busybox", "--data-dir", "/d"}, want: "kiwerk --data-dir /d kubectl run app --image="},
		"GPU":             {args: []string{"gpu", "fail", "1", "--data-dir", "/d"}, want: "kiwerk --data-dir /d gpu recover 1"},
		"Node":            {args: []string{"node", "simulate", "--data-dir", "/d"}, want: "remove with: kiwerk --data-dir /d node remove --simulated"},
		"AfterAFailure":   {args: []string{"pipeline", "show", "none", "--data-dir", "/d"}, want: "try: kiwerk --data-dir /d up"},
		"NamedByAFailure": {args: []string{"down", "--data-dir", "/d"}, want: "try: kiwerk up --data-dir /d\n"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var seen []any
			p, out, errs := program(&seen, c.env, c.args...)
			fail := func(command string) error {
				return &Failure{What: text.S(text.NotRunning, "/d"), Try: text.S(text.Verbatim, command)}
			}
			p.Down = func(context.Context, Session, DownOptions) error { return fail("kiwerk up --data-dir /d") }
			if name == "AfterAFailure" {
				p.Call = func(context.Context, Session, string, string, any, any) error { return fail("kiwerk up") }
			}
			Run(t.Context(), p)
			if said := out.String() + errs.String(); !strings.Contains(said, c.want) {
				t.Errorf("%q is missing in\n%s", c.want, said)
			}
		})
	}
}

// TestSuggestions_knowEachCommand finds commands that were added since.
func TestSuggestions_knowEachCommand(t *testing.T) {
	without := []string{"demo", "version", "help", "internal", "completion", "tracking"}
	var seen []any
	p, _, _ := program(&seen, nil)
	tree := &tree{program: p, session: Session{Text: text.For("en")}}
	for _, c := range tree.root().Commands() {
		line := "kiwerk " + c.Name()
		named := text.For("en").WithDataDir("/d").Command(line) != line
		if named == slices.Contains(without, c.Name()) {
			t.Errorf("%s: the data directory is named: %v", line, named)
		}
	}
}

func TestVersionFlag(t *testing.T) {
	r, _ := run(t, nil, "--version")
	if r.code != ExitOK || r.out != "kiwerk "+buildinfo.Version()+"\n" {
		t.Errorf("code %d: %s%s", r.code, r.out, r.err)
	}
}

// TestFlags_wrongOnesInGerman says what is wrong with a flag.
func TestFlags_wrongOnesInGerman(t *testing.T) {
	for args, want := range map[string]string{
		"up --nope":            "den Schalter --nope gibt es nicht",
		"up -z":                "den Schalter -z gibt es nicht",
		"up --timeout=soon":    `der Schalter --timeout nimmt "soon" nicht an`,
		"retrain approve":      "der Aufruf lautet: kiwerk retrain approve REGEL",
		"retrain list -o toml": "es gibt table, json, yaml",
	} {
		if r, _ := run(t, nil, append(strings.Fields(args), "--lang=de")...); r.code != ExitUsage || !strings.Contains(r.err, want) {
			t.Errorf("%s: code %d, %s", args, r.code, r.err)
		}
	}
	if r, _ := run(t, nil, "--lang=de", "up", "--listen"); r.code != ExitUsage || !strings.Contains(r.err, "braucht einen Wert") {
		t.Errorf("code %d, %s", r.code, r.err)
	}
}

func TestRun_exitCodes(t *testing.T) {
	cases := map[string]struct {
		err  error
		want int
	}{
		"Plain":       {errors.New("x"), ExitFailed},
		"Failure":     {&Failure{What: text.S(text.NoHome)}, ExitFailed},
		"NotFound":    {&Failure{Code: ExitNotFound, What: text.S(text.NoHome)}, ExitNotFound},
		"Interrupted": {context.Canceled, ExitInterrupted},
		"TimedOut":    {context.DeadlineExceeded, ExitNotReady},
		"OwnCode":     {Exit(42), 42},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var seen []any
			p, _, errs := program(&seen, nil, "down")
			p.Down = func(context.Context, Session, DownOptions) error { return c.err }
			if got := Run(t.Context(), p); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
			if name == "OwnCode" && errs.Len() > 0 {
				t.Errorf("said %q although the command has spoken", errs)
			}
		})
	}
}

func TestStatus_table(t *testing.T) {
	r, _ := run(t, nil, "status")
	for _, want := range []string{"ready", "http://127.0.0.1:7878", "busybox → the host's own tools", "0.0.0.0:80", "StartedAsRoot: started as root"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("%q is missing in\n%s", want, r.out)
		}
	}
}

func TestRetrainings_reasonsInBothLanguages(t *testing.T) {
	list := &Retrainings{Items: []Retraining{{
		Policy: "digits", Time: started, Phase: "Rejected", Reason: "NotBetter", Message: "accuracy on 60 rows …",
		Numbers: json.RawMessage(`{"score":{"champion":0.9,"challenger":0.85,"rows":1060}}`),
	}}}
	for lang, want := range map[string]string{
		"en": "NotBetter   accuracy on 60 rows …",
		"de": "NotBetter   die neue Version ist nicht genug besser: bisheriges Modell 0,900, neues 0,850 auf 1.060 Zeilen",
	} {
		var b bytes.Buffer
		if list.Table(&b, text.For(lang)); !strings.Contains(b.String(), want) {
			t.Errorf("%s: %s", lang, b.String())
		}
	}
}

// TestFailure_isSaidInBothLanguages keeps Error (for logs) and the report in step.
func TestFailure_isSaidInBothLanguages(t *testing.T) {
	f := &Failure{What: text.S(text.DataDirForeign, "/d"), Cause: errors.New("cause"), Try: text.S(text.Verbatim, "kiwerk up")}
	if !strings.Contains(f.Error(), "/d") || !strings.Contains(f.Error(), "cause") {
		t.Errorf("got %q", f.Error())
	}
	var b bytes.Buffer
	report(&b, text.For("de"), f)
	want := "Fehler: der Ordner /d ist nicht leer und enthält keine Daten von Kiwerk; er bleibt unberührt\n  cause\nVersuchen Sie: kiwerk up\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

// TestReport_namesNoSystemCalls has what the system says about files.
func TestReport_namesNoSystemCalls(t *testing.T) {
	_, missing := os.Open("/nothing/here")
	for _, err := range []error{missing, &Failure{What: text.S(text.ConfigInvalid), Cause: fmt.Errorf("read it: %w", missing)}} {
		var b bytes.Buffer
		report(&b, text.For("en"), err)
		if got := b.String(); !strings.Contains(got, "/nothing/here does not exist") || strings.Contains(got, "open ") {
			t.Errorf("said: %s", got)
		}
	}
}

func TestIsTerminal_isFalseForFiles(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if isTerminal(f) || isTerminal(&bytes.Buffer{}) {
		t.Error("a file counts as a terminal")
	}
}
