//go:build linux

package shim

import (
	"errors"
	"os"
	"strings"
	"testing"
)

const stat = "1234 (a (b) c) S 1 1234 1234 0 -1 4194560 100 200 0 0 7 5 3 1 20 0 4 0 5678 1000000 321 18446744073709551615 1 1 0"

func TestParseStat(t *testing.T) {
	st, err := ParseStat([]byte(stat))
	want := Stat{State: 'S', PPID: 1, CPUTicks: 16, Start: 5678, RSSPages: 321, NumThread: 4}
	if err != nil || st != want {
		t.Errorf("%+v, %v", st, err)
	}
	for _, bad := range []string{"", "1 (x", "1 (x) S 1", strings.Replace(stat, "5678", "x", 1)} {
		if _, err := ParseStat([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	self, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	if st, err := ParseStat(self); err != nil || st.PPID != os.Getppid() || st.Start == 0 {
		t.Errorf("own: %+v, %v", st, err)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add(stat)
	f.Add("1 () R")
	f.Fuzz(func(t *testing.T, s string) {
		if st, err := ParseStat([]byte(s)); err == nil && !strings.Contains(s, ")") {
			t.Errorf("accepted %q as %+v", s, st)
		}
	})
}

func TestReadJSON_damaged(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/"+exitFile, []byte(`{"Code":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadExit(dir); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("damaged exit file: %v", err)
	}
}

func TestCapabilities(t *testing.T) {
	for name, c := range map[string]struct {
		add, drop []string
		count     int
		err       string
	}{
		"Default":     {count: 13},
		"DropOne":     {drop: []string{"NET_RAW"}, count: 12},
		"DropPrefix":  {drop: []string{"cap_net_raw"}, count: 12},
		"DropAll":     {drop: []string{"ALL"}, count: 0},
		"DropAllKeep": {drop: []string{"ALL"}, add: []string{"NET_BIND_SERVICE"}, count: 1},
		"Add":         {add: []string{"SYS_NICE"}, count: 14},
		"AddAdmin":    {add: []string{"SYS_ADMIN"}, err: "unmount"},
		"AddPerfmon":  {add: []string{"PERFMON"}, err: "memory"},
		"AddAll":      {add: []string{"ALL"}, err: "SYS_ADMIN"},
		"Unknown":     {add: []string{"FLY"}, err: "not known"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Capabilities(c.add, c.drop)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil || len(got) != c.count {
				t.Errorf("%d capabilities, %v", len(got), err)
			}
		})
	}
}

func TestWriteExit(t *testing.T) {
	dir := t.TempDir()
	if err := reserveExit(dir); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("ä\x00", 5000)
	if err := writeExit(dir, Exit{Code: 3, Reason: ReasonError, Message: long}); err != nil {
		t.Fatal(err)
	}
	e, err := ReadExit(dir)
	if err != nil || e.Code != 3 || !strings.HasPrefix(e.Message, "ä\x00ä") || !strings.HasSuffix(e.Message, "…") {
		t.Errorf("%d, %q, %v", e.Code, e.Message, err)
	}
	info, err := os.Stat(dir + "/" + exitFile)
	if err != nil || info.Size() != exitSpace {
		t.Errorf("size %d, %v: the reserved space was left", info.Size(), err)
	}
}
