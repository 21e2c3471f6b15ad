//go:build linux

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPart(t *testing.T) {
	for text, ok := range map[string]bool{"": true, "1/8": true, "8/8": true, "0/8": false, "9/8": false, "1": false, "a/b": false} {
		var p part
		if err := p.Set(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		} else if ok && p.String() != text {
			t.Errorf("%q became %q", text, p.String())
		}
	}
	for _, name := range []string{"a", "b", "c", "a longer name"} {
		n := 0
		for i := 1; i <= 8; i++ {
			if (part{i, 8}).has(name) {
				n++
			}
		}
		if n != 1 || !(part{}).has(name) {
			t.Errorf("%q is in %d of 8 parts", name, n)
		}
	}
}

func TestResults_goOnWhereTheyWere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "docs", "root.txt")
	specs := []spec{{"a", false}, {"b", true}, {"c", false}}
	every := regexp.MustCompile("")
	r, err := openResults(file, "root", specs, map[*regexp.Regexp]string{regexp.MustCompile("^c$"): "needs two nodes"})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.todo(part{}, every, false); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("to do at first: %q", got)
	}
	if err := r.add(map[string]result{"a": {Outcome: passed, Seconds: 1.5}, "b": {Outcome: failed, Seconds: 2, Note: "why"}, "x": {Outcome: passed}}); err != nil {
		t.Fatal(err)
	}
	again, err := openResults(file, "root", append(specs, spec{"d", false}), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]result{"a": {passed, 1.5, ""}, "b": {failed, 2, "why"}, "c": {Outcome: notRunYet}, "d": {Outcome: notRunYet}}
	if diff := cmp.Diff(want, again.by); diff != "" {
		t.Error(diff)
	}
	if got := again.todo(part{}, every, false); !slices.Equal(got, []string{"b", "c", "d"}) {
		t.Errorf("to do then: %q", got)
	}
	if got := again.summary(); !strings.HasPrefix(got, "4 specs: 1 passed (25.0 %") {
		t.Error(got)
	}
}

func TestResults_damaged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "root.txt")
	if err := os.WriteFile(file, []byte("# x\npassed\t1.0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openResults(file, "root", nil, nil); err == nil || !strings.Contains(err.Error(), "root.txt:2: 2 columns") {
		t.Errorf("got %v", err)
	}
}

func TestLeftOut_everyLineHasAReason(t *testing.T) {
	if _, err := readLeftOut("left-out.txt", asRoot); err != nil {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "left-out.txt")
	for text, want := range map[string]string{"spec\n": ":1: a spec without a reason", "\n# c\n( # why\n": ":3: error parsing regexp"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readLeftOut(file, asUser); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestLeftOut_ofOneAccount(t *testing.T) {
	file := filepath.Join(t.TempDir(), "left-out.txt")
	if err := os.WriteFile(file, []byte("all # a\nuser: ids # b\nroot: host: x # c\nuser-v1: old # d\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	users := []string{"all", "ids", "old"}
	if cgroupsV2() {
		users = users[:2]
	}
	for account, want := range map[string][]string{asRoot: {"all", "host: x"}, asUser: users} {
		list, err := readLeftOut(file, account)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for re := range list {
			got = append(got, re.String())
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", account, got, want)
		}
	}
}
