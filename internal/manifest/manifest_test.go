package manifest

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const deployment = `# what it is for
apiVersion: apps/v1
kind: Deployment

metadata:
  name: web   # its name
spec:
    replicas: 2

    template:
        spec:
            containers:
            # the server
            - name: web
              image:   nginx:1.27
              command: ['nginx', "-g"]

              env: [{name: A, value: 'x'}]
            - name: side
              image: busybox
              args:
              - |
                a: b

                --- no separator, it is indented
`

func TestParse(t *testing.T) {
	cases := map[string]struct {
		text      string
		documents int
		problem   string // line: message
	}{
		"Empty":            {text: ""},
		"CommentsOnly":     {text: "# nothing\n---\n# here\n"},
		"Several":          {text: "a: 1\n---\nb: 2\n--- # the third\nc: 3\n", documents: 3},
		"ContentOnMarker":  {text: "a: 1\n--- {b: 2}\n", documents: 2},
		"Windows":          {text: "a: 1\r\n---\r\nb: 2\r\n", documents: 2},
		"Mark":             {text: "\ufeffa: 1\n", documents: 1},
		"Directive":        {text: "%YAML 1.2\n---\na: 1\n", documents: 1},
		"JSON":             {text: `{"a": {"b": [1, 2]}}`, documents: 1},
		"ErrorInSecond":    {text: "a: 1\n---\nb: [\n---\nc: 3\n", documents: 2, problem: "3: did not find expected node content"},
		"Duplicate":        {text: "a: 1\n---\nb:\n  c: 1\n  c: 2\n", documents: 2, problem: `5: key "c" is given twice`},
		"Anchors":          {text: "a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}\n", documents: 1},
		"AnchorInItself":   {text: "a: &x\n  b: *x\n", problem: "1: anchor x contains itself"},
		"AliasesExplode":   {text: bomb(), problem: "1: its aliases expand to too much"},
		"EndAndMore":       {text: "a: 1\n...\nb: 2\n", problem: "1: a second document begins without a line ---"},
		"Tab":              {text: "a:\n\tb: 1\n", problem: "2: found character that cannot start any token"},
		"SeparatorInBlock": {text: deployment, documents: 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := Parse("f.yaml", []byte(c.text))
			if len(f.Documents) != c.documents {
				t.Errorf("%d documents, want %d", len(f.Documents), c.documents)
			}
			got := ""
			if len(f.Problems) > 0 {
				got = itoa(f.Problems[0].Line) + ": " + f.Problems[0].Message
			}
			if got != c.problem {
				t.Errorf("problem %q, want %q", got, c.problem)
			}
		})
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

func bomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 9; i++ {
		p := itoa(i - 1)
		b.WriteString("a" + itoa(i) + ": &a" + itoa(i) + " [" + strings.Repeat("*a"+p+", ", 8) + "*a" + p + "]\n")
	}
	return b.String()
}

func TestValue_paths(t *testing.T) {
	d := Parse("f.yaml", []byte("x: 1\n---\nspec:\n  containers:\n  - name: a\n    resources:\n      limits: {nvidia.com/gpu: 2, yes: on, m: 0644}\n")).Documents[1]
	gpu := d.Root().Get("spec", "containers").At(0).Get("resources", "limits", "nvidia.com/gpu")
	if got, want := gpu.Path.String(), "spec.containers[0].resources.limits[nvidia.com/gpu]"; got != want {
		t.Errorf("path %q, want %q", got, want)
	}
	if n, ok := gpu.Int(); gpu.Line() != 7 || !ok || n != 2 {
		t.Errorf("line %d, value %d", gpu.Line(), n)
	}
	absent := d.Root().Get("spec", "containers").At(0).Get("env", "x")
	if absent.Exists() || absent.Line() != 5 || absent.Path.String() != "spec.containers[0].env.x" {
		t.Errorf("absent: %v line %d path %s", absent.Exists(), absent.Line(), absent.Path)
	}
	for path, line := range map[string]int{
		"spec.containers[0].resources.limits.nvidia.com/gpu":  7,
		"spec.containers[0].resources.limits[nvidia.com/gpu]": 7,
		"spec.containers[0].name":                             5,
		"spec.containers[3].name":                             5,
		"spec.nothing.x":                                      4,
	} {
		if got := d.Locate(path).Line(); got != line {
			t.Errorf("%s is found in line %d, want %d", path, got, line)
		}
	}
	b, err := d.Root().Get("spec", "containers").At(0).Get("resources", "limits").JSON()
	if err != nil || string(b) != `{"m":420,"nvidia.com/gpu":2,"yes":true}` {
		t.Errorf("JSON %s, %v", b, err)
	}
}

func TestFile_Apply(t *testing.T) {
	container := Path{"spec", "template", "spec", "containers", 0}
	cases := map[string]struct {
		text  string
		edits []Edit
		diff  string
	}{
		"Scalar": {
			text: deployment, edits: []Edit{{Path: Path{"metadata", "name"}, Set: Scalar("shop")}},
			diff: "-  name: web   # its name\n+  name: shop # its name\n",
		},
		"NewMapping": {
			text: deployment, edits: []Edit{{Path: container.with("securityContext").with("capabilities"), Set: YAML("drop: [ALL]")}},
			diff: "+              securityContext:\n+                capabilities:\n+                  drop: [ALL]\n",
		},
		"ListKeepsItsQuotes": {
			text: deployment, edits: []Edit{{Path: container.with("command"), Set: Flow("nginx", "-c", "f")}},
			diff: "-              command: ['nginx', \"-g\"]\n+              command: [\"nginx\", \"-c\", \"f\"]\n",
		},
		"QuotesWhatWouldBeANumber": {
			text: "v: 4\nw: yes\n", edits: []Edit{{Path: Path{"v"}, Set: Scalar("4")}, {Path: Path{"w"}, Set: Scalar("yes")}},
			diff: "-v: 4\n-w: yes\n+v: \"4\"\n+w: \"yes\"\n",
		},
		"AppendMakesTheList": {
			text: "spec:\n  a: 1\n\nother: x\n", edits: []Edit{{Path: Path{"spec", "tolerations"}, Append: YAML("{key: gpu}")}},
			diff: "   a: 1\n+  tolerations:\n+  - {key: gpu}\n",
		},
		"AppendToFlow":  {text: "l: [1]\n", edits: []Edit{{Path: Path{"l"}, Append: Plain("2")}}, diff: "-l: [1]\n+l: [1, 2]\n"},
		"Rename":        {text: "spec:\n  imagePullPolcy: Always # c\n", edits: []Edit{{Path: Path{"spec", "imagePullPolcy"}, Rename: "imagePullPolicy"}}, diff: "-  imagePullPolcy: Always # c\n+  imagePullPolicy: Always # c\n"},
		"RemoveSeveral": {text: "l:\n- a\n- b\n- c\n", edits: []Edit{{Path: Path{"l", 0}, Remove: true}, {Path: Path{"l", 2}, Remove: true}}, diff: " l:\n-- a\n - b\n-- c\n"},
		"SecondDocument": {
			text: "a: 1\n--- # here\nb:  2\n", edits: nil, diff: "",
		},
		"JSON": {
			text: "{\"b\": 1, \"a\": {\"x\": \"y\"}}\n", edits: []Edit{{Path: Path{"a", "z"}, Set: Plain("true")}},
			diff: "-{\"b\": 1, \"a\": {\"x\": \"y\"}}\n+{\n+  \"b\": 1,\n+  \"a\": {\n+    \"x\": \"y\",\n+    \"z\": true\n+  }\n+}\n",
		},
		"NoLineEnd": {text: "a: 1\nb: 2", edits: []Edit{{Path: Path{"c"}, Set: Plain("3")}}, diff: " a: 1\n-b: 2\n+b: 2\n+c: 3\n"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := Parse("f.yaml", []byte(c.text))
			if len(c.edits) == 0 {
				c.edits = []Edit{{Path: Path{"a"}, Remove: true}, {Path: Path{"a"}, Set: Plain("1")}}
			}
			got, err := f.Apply(f.Documents[0], c.edits)
			if err != nil {
				t.Fatal(err)
			}
			diff := Diff("f.yaml", c.text, string(got))
			if !strings.Contains(diff, c.diff) || c.diff != "" && strings.Count(diff, "\n+") != strings.Count("\n"+c.diff, "\n+")+1 {
				t.Errorf("diff:\n%s\nwant in it:\n%s", diff, c.diff)
			}
		})
	}
}

func TestFile_Apply_leavesAloneWhatHasNoOneMeaning(t *testing.T) {
	for _, text := range []string{"a: &x 1\nb: *x\n", "a: 1\na: 2\n"} {
		f := Parse("f.yaml", []byte(text))
		if _, err := f.Apply(f.Documents[0], []Edit{{Path: Path{"c"}, Set: Plain("2")}}); err == nil || !strings.Contains(err.Error(), "not changed") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestDiff(t *testing.T) {
	before := strings.Repeat("x\n", 3) + "a\n" + strings.Repeat("y\n", 20) + "b\n"
	after := strings.Repeat("x\n", 3) + "A\n" + strings.Repeat("y\n", 20) + "b\nc\n"
	want := "--- f\n+++ f\n@@ -1,7 +1,7 @@\n x\n x\n x\n-a\n+A\n y\n y\n y\n@@ -23,3 +23,4 @@\n y\n y\n b\n+c\n"
	if diff := cmp.Diff(want, Diff("f", before, after)); diff != "" {
		t.Error(diff)
	}
	if got := Diff("f", before, before); got != "" {
		t.Errorf("same texts: %q", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{deployment, bomb()[:200], "a: &x\n  b: *x\n", "{\"a\": 1}", "a: 1\n---\n- b\n...\n", "? a\n: b\n", "a: !!binary x\nb: .inf\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<14 {
			return
		}
		file := Parse("f", []byte(text))
		for _, d := range file.Documents {
			d.Locate("spec.a[0].b[c/d]")
			if _, err := d.Root().JSON(); err != nil || d.ReadOnly {
				continue
			}
			got, err := file.Apply(d, []Edit{{Path: Path{"kiwerk"}, Set: Scalar("added")}})
			if err != nil {
				continue
			}
			again := Parse("f", got)
			if len(again.Documents) != len(file.Documents) {
				t.Fatalf("%d documents became %d:\n%s", len(file.Documents), len(again.Documents), got)
			}
			if v := again.Documents[d.Index].Root().Get("kiwerk").Text(); v != "added" {
				t.Fatalf("the change is lost: %q\n%s", v, got)
			}
		}
	})
}
