package lifecycle

import (
	"context"
	"errors"
	"slices"
	"testing"
)

type recorder struct {
	name string
	log  *[]string
	fail error
}

func (r recorder) Init(context.Context) error { *r.log = append(*r.log, "init "+r.name); return nil }

func (r recorder) Start(context.Context) error {
	*r.log = append(*r.log, "start "+r.name)
	return r.fail
}

func (r recorder) Stop(context.Context) error { *r.log = append(*r.log, "stop "+r.name); return nil }

func TestGroup_stopsInReverse(t *testing.T) {
	var log []string
	g := NewGroup()
	g.Add("a", recorder{name: "a", log: &log})
	g.Add("b", recorder{name: "b", log: &log})
	if err := errors.Join(g.Start(t.Context()), g.Stop(t.Context())); err != nil {
		t.Fatal(err)
	}
	want := []string{"init a", "init b", "start a", "start b", "stop b", "stop a"}
	if !slices.Equal(log, want) {
		t.Errorf("got %v, want %v", log, want)
	}
}

func TestGroup_failedStartUndoesTheOthers(t *testing.T) {
	var log []string
	boom := errors.New("boom")
	g := NewGroup()
	g.Add("a", recorder{name: "a", log: &log})
	g.Add("b", recorder{name: "b", log: &log, fail: boom})
	g.Add("c", recorder{name: "c", log: &log})
	err := g.Start(t.Context())
	if !errors.Is(err, boom) || err.Error() != "b: boom" {
		t.Errorf("got %v", err)
	}
	if want := []string{"init a", "init b", "init c", "start a", "start b", "stop a"}; !slices.Equal(log, want) {
		t.Errorf("got %v, want %v", log, want)
	}
}

func TestRunner_tellsOfAnEarlyEnd(t *testing.T) {
	boom := errors.New("boom")
	heard := make(chan error, 1)
	r := &Runner{Run: func(context.Context) error { return boom }, OnExit: func(err error) { heard <- err }}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-heard; !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
}

func TestRunner_stopWaits(t *testing.T) {
	ended := false
	r := &Runner{Run: func(ctx context.Context) error { <-ctx.Done(); ended = true; return ctx.Err() }}
	if err := errors.Join(r.Start(t.Context()), r.Stop(t.Context())); err != nil || !ended {
		t.Errorf("err %v, ended %v", err, ended)
	}
}
