//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/demo"
	"github.com/kiwerk/kiwerk/internal/kwtest"
)

func TestNumbers(t *testing.T) {
	for name, c := range map[string]struct {
		list string
		want []int
	}{
		"One":        {"50", []int{50}},
		"Blanks":     {"1, 10 ,50", []int{1, 10, 50}},
		"Descending": {"10,1", nil},
		"Twice":      {"1,1", nil},
		"Zero":       {"0,1", nil},
		"Words":      {"many", nil},
		"Empty":      {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := numbers(c.list)
			if (err != nil) != (c.want == nil) {
				t.Fatal(err)
			}
			if c.want != nil && !cmp.Equal(got, c.want) {
				t.Error(got)
			}
		})
	}
}

func TestRow_bounded(t *testing.T) {
	for name, c := range map[string]struct {
		value float64
		bound bound
		holds bool
		text  string
	}{
		"AtTheLimit":  {6, bound{Limit: 6}, true, "≤ 6"},
		"Above":       {6.1, bound{Limit: 6}, false, "≤ 6  MISSED"},
		"EnoughOf":    {1, bound{Limit: 0.5, AtLeast: true, OfRatio: true}, true, "≥ 0.5 ×"},
		"TooLittleOf": {0.9, bound{Limit: 0.5, AtLeast: true, OfRatio: true}, false, "≥ 0.5 ×  MISSED"},
		"TooManyOf":   {90, bound{Limit: 40, OfRatio: true}, false, "≤ 40 ×  MISSED"},
	} {
		t.Run(name, func(t *testing.T) {
			r := against(row{Value: c.value}, 2).bounded(c.bound)
			if r.Bound.Holds != c.holds || r.Bound.String() != c.text {
				t.Errorf("%v, %q", r.Bound.Holds, r.Bound)
			}
		})
	}
	if r := against(row{Value: 1}, 0); r.Ratio != 0 {
		t.Errorf("ratio %v to nothing", r.Ratio)
	}
}

func TestPerContainer(t *testing.T) {
	rows := perContainer(10, boundMemoryAt, usage{containers: 30, others: 500}, usage{containers: 130, others: 600})
	if len(rows) != 2 || rows[0].Value != 5 || !rows[0].Bound.Holds || rows[1].Value != 2.5 {
		t.Errorf("%+v", rows)
	}
	if rows := perContainer(1, 2, usage{}, usage{}); rows[0].Bound != nil {
		t.Error("a bound for two containers")
	}
}

func TestSum(t *testing.T) {
	process := func(mb int64, args ...string) *demo.Process { return &demo.Process{Args: args, Pss: mb * 1e6} }
	got := sum([]*demo.Process{
		process(300, "kiwerk", "internal", "daemon"), process(3, "kiwerk-agent", "hold", "/run/x", "/data"), process(1, "kiwerk"), process(7),
		process(2, "kiwerk-agent", "shim", "/data/c"), process(1, "kiwerk-agent", "init", "c"),
	})
	if want := (usage{containers: 3, others: 311}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestMedian(t *testing.T) {
	if got := median([]float64{9, 1, 5}); got != 5 {
		t.Error(got)
	}
}

// The command runs; how fast is not asked.
func TestRun(t *testing.T) {
	program, err := kwtest.Program("kiwerk")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s := settings{
		bin: filepath.Dir(program), output: "json", starts: 2, pods: 1, containers: []int{1, 2}, length: 20 * time.Millisecond, rounds: 1,
	}
	if err := run(t.Context(), s, &out, t.Output()); err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if len(r.Accounts) != 1 {
		t.Fatalf("%d accounts", len(r.Accounts))
	}
	seen := map[string]bool{}
	for _, v := range r.Accounts[0].Rows {
		seen[strings.Fields(v.Figure)[0]] = true
		if v.Value <= 0 && v.Unit != "MB" { // memory may also shrink
			t.Errorf("%s: %v %s", v.Figure, v.Value, v.Unit)
		}
	}
	for _, word := range []string{"memory", "start", "pod,"} {
		if !seen[word] {
			t.Errorf("no figure %q in %s", word, &out)
		}
	}
	var table bytes.Buffer
	if err := r.print(&table, "table"); err != nil || !strings.Contains(table.String(), "start of a container of an image") {
		t.Errorf("%v\n%s", err, &table)
	}
}
