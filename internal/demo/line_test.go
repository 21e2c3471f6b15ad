package demo

import (
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func newTestLine(t *testing.T, h http.HandlerFunc) *line {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return &line{
		client: newClient(Platform{BaseURL: server.URL, Token: "secret", Namespace: "default"}), model: "m",
		now: func() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }, rng: rand.New(rand.NewPCG(1, 1)),
	}
}

func TestLine_sendsPhotographsAndLabels(t *testing.T) {
	var feedback string
	l := newTestLine(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("Authorization is %q", r.Header.Get("Authorization"))
		}
		if strings.HasSuffix(r.URL.Path, ":feedback") {
			body, _ := io.ReadAll(r.Body) // a short body shows in the comparison
			feedback = string(body)
			return
		}
		var body struct{ Instances [][]float64 }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || len(body.Instances) != 1 || len(body.Instances[0]) != pixels {
			t.Errorf("request %v: %v", body, err)
		}
		w.Header().Set(headerPrediction, "p1")
		w.Header().Set(headerVersion, "3")
		_, _ = io.WriteString(w, `{"predictions":[{"label":7,"probabilities":[0.5]}]}`) // the client would notice
	})
	shots, err := l.window(context.Background(), []Image{{Pixels: sharp, Label: 7}})
	if err != nil {
		t.Fatal(err)
	}
	if len(shots) != 1 || !shots[0].right() || shots[0].answer.version != "3" {
		t.Errorf("got %+v", shots)
	}
	if err := l.labels(context.Background(), shots, trueLabel); err != nil {
		t.Fatal(err)
	}
	if want := `{"feedback":[{"id":"p1","label":7}]}`; feedback != want {
		t.Errorf("feedback was %s, want %s", feedback, want)
	}
	l.change(WornCamera)
	if _, err := l.window(context.Background(), make([]Image, 2)); err != nil {
		t.Fatal(err)
	}
	if before, after, failed := l.counts(); before != 1 || after != 2 || failed != 0 {
		t.Errorf("counted %d, %d, %d; want 1, 2, 0", before, after, failed)
	}
}

func TestLine_stopsAfterManyFailures(t *testing.T) {
	l := newTestLine(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no replica", http.StatusServiceUnavailable)
	})
	shots, err := l.window(context.Background(), make([]Image, failuresInARow-1))
	if err != nil || len(shots) != 0 {
		t.Errorf("got %d shots and error %v, want none", len(shots), err)
	}
	if _, err = l.window(context.Background(), make([]Image, 1)); err == nil || !strings.Contains(err.Error(), "no replica") {
		t.Errorf("got %v, want the endpoint's own words", err)
	}
	if _, _, failed := l.counts(); failed != failuresInARow {
		t.Errorf("counted %d failures", failed)
	}
}

func TestTreeMemory_unknownProcess(t *testing.T) {
	if _, err := TreeMemory(-1, nil); err == nil {
		t.Error("no error for a process that does not exist")
	}
}
