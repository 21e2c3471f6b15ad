package data_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/data"
	"github.com/kiwerk/kiwerk/internal/kwtest/postgres"
	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
)

// clock moves a millisecond with each look at it.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Millisecond)
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type fixture struct {
	*data.Service
	clock   *clock
	metrics *prometheus.Registry
	deps    data.Deps
}

func TestMain(m *testing.M) { os.Exit(postgres.Run(m.Run)) }

// onBoth runs a test on SQLite and on PostgreSQL.
func onBoth(t *testing.T, test func(*testing.T, *fixture)) {
	t.Helper()
	storetest.Both(t, func(t *testing.T, open func(testing.TB, ...store.Migrations) *store.Store) {
		test(t, newFixture(t, open(t)))
	})
}

func newFixture(t *testing.T, db *store.Store) *fixture {
	t.Helper()
	bucket, err := blob.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bucket.Close() })
	f := &fixture{clock: &clock{now: time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)}, metrics: prometheus.NewRegistry()}
	f.deps = data.Deps{
		Store: db, Blobs: bucket, TempDir: t.TempDir(), Now: f.clock.Now,
		Logger: slog.New(slog.DiscardHandler), Metrics: f.metrics, Queue: 4096,
	}
	f.start(t)
	return f
}

// start begins a service on the same stores.
func (f *fixture) start(t *testing.T) {
	t.Helper()
	s, err := data.New(f.deps)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop(t.Context()) })
	f.Service = s
}

func code(err error) string {
	if err == nil {
		return ""
	}
	return server.AsError(err).Code
}

func prediction(id string, features ...float64) data.Prediction {
	return data.Prediction{
		ID: id, Namespace: "default", Endpoint: "parts", Model: "reader", ModelVersion: "1", Revision: "parts-1",
		Features: features, Output: json.RawMessage(`{"label":7,"probabilities":[0.1,0.9]}`),
	}
}

// TestService_copies: two copies on one database lose no prediction and give no
// number twice.
func TestService_copies(t *testing.T) {
	uri := postgres.URI(t)
	var copies []*fixture
	for range 2 {
		db, err := store.Open(t.Context(), store.Options{Path: uri})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		copies = append(copies, newFixture(t, db))
	}
	const each = 100
	var wg sync.WaitGroup
	for n, f := range copies {
		wg.Go(func() {
			for i := range each {
				f.Record(prediction(fmt.Sprintf("p-%d-%d", n, i), 1))
				body := strings.NewReader(fmt.Sprintf("p\n%d\n", i/2*2+n))
				if _, err := f.Ingest(t.Context(), data.IngestRequest{Namespace: "default", Name: "parts", Body: body}); err != nil {
					t.Error(err)
				}
				if err := f.Flush(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	streams, err := copies[0].Streams(t.Context(), "default", "parts")
	if err != nil || len(streams) != 1 || streams[0].Rows != 2*each {
		t.Errorf("%+v, %v", streams, err)
	}
	versions, err := copies[0].Versions(t.Context(), "default", "parts")
	if err != nil || len(versions) != each {
		t.Errorf("%d versions, %v", len(versions), err)
	}
}

func TestService_Ingest(t *testing.T) {
	ten, zero := 10.0, 0.0
	schema := &data.Schema{Columns: []data.Column{
		{Name: "p", Type: data.Int, Min: &zero, Max: &ten}, {Name: "x", Type: data.Float, Nullable: true}, {Name: "label", Type: data.String},
	}}
	cases := map[string]struct {
		body, code, message string
		schema              *data.Schema
		rows                int64
		types               []data.Type
	}{
		"Fits":        {"p,x,label\n1,0.5,a\n2,,b\n", "", "", schema, 2, []data.Type{data.Int, data.Float, data.String}},
		"OtherOrder":  {"label,p,x\na,1,0.5\n", "", "", schema, 1, []data.Type{data.String, data.Int, data.Float}},
		"Found":       {"a,b,c,d,e\n1,1.5,true,x,\n2,2,false,y,\n", "", "", nil, 2, []data.Type{data.Int, data.Float, data.Bool, data.String, data.String}},
		"Mark":        {"\ufeffp\n1\n", "", "", nil, 1, []data.Type{data.Int}},
		"TooLarge":    {"p,x,label\n1,1,a\n11,1,b\n", "SCHEMA_VIOLATION", `row 2, column "p": "11" is above the maximum 10`, schema, 0, nil},
		"TooSmall":    {"p,x,label\n-1,1,a\n", "SCHEMA_VIOLATION", "below the minimum 0", schema, 0, nil},
		"WrongType":   {"p,x,label\n1.5,1,a\n", "SCHEMA_VIOLATION", `"1.5" is not int`, schema, 0, nil},
		"NotFinite":   {"p,x,label\n1,NaN,a\n", "SCHEMA_VIOLATION", "not a finite number", schema, 0, nil},
		"Empty":       {"p,x,label\n,1,a\n", "SCHEMA_VIOLATION", `column "p": is empty`, schema, 0, nil},
		"Missing":     {"p,label\n1,a\n", "SCHEMA_VIOLATION", `column "x" is missing`, schema, 0, nil},
		"Additional":  {"p,x,label,y\n1,1,a,1\n", "SCHEMA_VIOLATION", `column "y" is not in the schema`, schema, 0, nil},
		"Ragged":      {"p,x\n1\n", "INVALID_ARGUMENT", "line 2", nil, 0, nil},
		"Twice":       {"p,p\n1,1\n", "INVALID_ARGUMENT", "there twice", nil, 0, nil},
		"NoRow":       {"p,x\n", "INVALID_ARGUMENT", "no row", nil, 0, nil},
		"Nothing":     {"", "INVALID_ARGUMENT", "header line", nil, 0, nil},
		"NoParquet":   {"PAR1 but not really", "INVALID_ARGUMENT", "not valid Parquet", nil, 0, nil},
		"ManyRemarks": {"p,x,label\n" + strings.Repeat("99,1,a\n", 50), "SCHEMA_VIOLATION", "checking stopped here", schema, 0, nil},
	}
	f := newFixture(t, storetest.Open(t))
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			v, err := f.Ingest(t.Context(), data.IngestRequest{Namespace: "default", Name: name, Schema: c.schema, Body: strings.NewReader(c.body)})
			if code(err) != c.code || err != nil && !strings.Contains(err.Error(), c.message) {
				t.Fatalf("got %v, want %s with %q", err, c.code, c.message)
			}
			if err != nil {
				if _, err := f.Versions(t.Context(), "default", name); code(err) != "NOT_FOUND" {
					t.Errorf("something was stored: %v", err)
				}
				return
			}
			var types []data.Type
			for _, col := range v.Schema.Columns {
				types = append(types, col.Type)
			}
			if v.Version != 1 || v.Rows != c.rows || v.URI != "datasets:/"+name+"/1" || !cmp.Equal(types, c.types) {
				t.Errorf("got %+v", v)
			}
		})
	}
}

func TestService_Ingest_sameBytesAreTheSameVersion(t *testing.T) {
	onBoth(t, testIngestSameBytesAreTheSameVersion)
}

func testIngestSameBytesAreTheSameVersion(t *testing.T, f *fixture) {
	ingest := func(body string) *data.Version {
		v, err := f.Ingest(t.Context(), data.IngestRequest{Namespace: "default", Name: "parts", Body: strings.NewReader(body)})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	first, second := ingest("a\n1\n"), ingest("a\n2\n")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if again := ingest("a\n1\n"); !cmp.Equal(again, first) {
				t.Errorf("again: %s", cmp.Diff(first, again))
			}
		})
	}
	wg.Wait()
	latest, err := f.Version(t.Context(), "default", "parts", data.Latest)
	if err != nil || second.Version != 2 || !cmp.Equal(latest, second) {
		t.Errorf("latest %+v, %v", latest, err)
	}
	r, err := f.Open(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); err != nil || string(b) != "a\n1\n" {
		t.Errorf("content %q, %v", b, err)
	}
	for _, version := range []string{"3", "0", "-1", "x", ""} {
		if _, err := f.Version(t.Context(), "default", "parts", version); err == nil {
			t.Errorf("version %q was found", version)
		}
	}
	if _, err := f.Version(t.Context(), "other", "parts", "1"); code(err) != "NOT_FOUND" {
		t.Errorf("another project sees it: %v", err)
	}
}

func TestService_Feedback(t *testing.T) { onBoth(t, testFeedback) }

func testFeedback(t *testing.T, f *fixture) {
	for i := range 3 {
		f.Record(prediction(fmt.Sprintf("p%d", i), 1))
	}
	// The writer may not have stored them yet: feedback finds them all the same.
	err := f.Feedback(t.Context(), "default", "parts", []data.Feedback{{ID: "p0", Label: json.RawMessage("7")}, {ID: "p1", Label: json.RawMessage(`"8"`)}})
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		namespace, endpoint string
		labels              []data.Feedback
		code, message       string
	}{
		"Unknown":       {"default", "parts", []data.Feedback{{"p2", json.RawMessage("7")}, {"nobody", json.RawMessage("7")}}, "NOT_FOUND", "nobody"},
		"OtherEndpoint": {"default", "other", []data.Feedback{{"p2", json.RawMessage("7")}}, "NOT_FOUND", "p2"},
		"OtherProject":  {"team", "parts", []data.Feedback{{"p2", json.RawMessage("7")}}, "NOT_FOUND", "p2"},
		"NoLabel":       {"default", "parts", []data.Feedback{{"p2", nil}}, "INVALID_ARGUMENT", "label"},
		"ListAsLabel":   {"default", "parts", []data.Feedback{{"p2", json.RawMessage("[7]")}}, "INVALID_ARGUMENT", "label"},
		"NoID":          {"default", "parts", []data.Feedback{{"", json.RawMessage("7")}}, "INVALID_ARGUMENT", "no id"},
		"None":          {"default", "parts", nil, "INVALID_ARGUMENT", "1 to"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := f.Feedback(t.Context(), c.namespace, c.endpoint, c.labels)
			if code(err) != c.code || !strings.Contains(err.Error(), c.message) {
				t.Errorf("got %v, want %s with %q", err, c.code, c.message)
			}
			if p, err := f.Get(t.Context(), "default", "p2"); err != nil || p.Label != nil {
				t.Errorf("a label was stored: %+v, %v", p, err)
			}
		})
	}
	score, err := f.LastLabelled(t.Context(), "default", "parts", "reader", "1", 0, 10)
	if err != nil || score.Labelled != 2 || score.Correct != 1 || score.Accuracy() != 0.5 {
		t.Errorf("score %+v, %v", score, err)
	}
}

func TestService_Record_neverBlocks(t *testing.T) { onBoth(t, testRecordNeverBlocks) }

func testRecordNeverBlocks(t *testing.T, f *fixture) {
	release := make(chan struct{})
	running := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // the database is busy
		if err := f.deps.Store.Update(t.Context(), func(*store.Tx) error { close(running); <-release; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-running
	const sent = 20_000
	for i := range sent {
		f.Record(prediction(fmt.Sprint(i), 1))
	}
	close(release)
	wg.Wait()
	if err := f.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	streams, err := f.Streams(t.Context(), "default", "parts")
	if err != nil || len(streams) != 1 {
		t.Fatalf("streams %v, %v", streams, err)
	}
	if dropped := f.counter(t, "kiwerk_data_predictions_dropped_total"); dropped == 0 || int64(dropped)+streams[0].Rows != sent {
		t.Errorf("%v dropped and %d stored of %d", dropped, streams[0].Rows, sent)
	}
}

// What waits is bounded in bytes, too.
func TestService_Record_boundsMemory(t *testing.T) { onBoth(t, testRecordBoundsMemory) }

func testRecordBoundsMemory(t *testing.T, f *fixture) {
	release, running := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // the database is busy
		if err := f.deps.Store.Update(t.Context(), func(*store.Tx) error { close(running); <-release; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-running
	row := make([]float64, 100_000)
	for i := range 300 {
		f.Record(prediction(fmt.Sprint(i), row...))
	}
	dropped := f.counter(t, "kiwerk_data_predictions_dropped_total")
	close(release)
	wg.Wait()
	if err := f.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if dropped < 100 {
		t.Errorf("%v of 300 rows of 800 kB were dropped; the rest took more than the bound of 64 MiB", dropped)
	}
	f.Record(prediction("after", 1))
	if _, err := f.Get(t.Context(), "default", "after"); err != nil {
		t.Errorf("the memory was not given back: %v", err)
	}
}

func (f *fixture) counter(t *testing.T, name string) (sum float64) {
	t.Helper()
	families, err := f.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			for _, m := range family.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func TestService_Window_samplesAndCounts(t *testing.T) { onBoth(t, testWindowSamplesAndCounts) }

func testWindowSamplesAndCounts(t *testing.T, f *fixture) {
	profile := data.NewProfile([]string{"a", "b"}, [][]float64{{0, 1, 2}, {10, 20}})
	f.Record(prediction("before", 50, 50)) // answered before anybody asked: row 0
	if err := f.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	rec := data.Recording{
		Namespace: "default", Endpoint: "parts", Names: profile.Names, Samples: true, Masked: []string{"b"},
		Model: "reader", ModelVersion: "1", Profile: &profile, WindowSize: 3, Origin: 1,
	}
	if err := f.SetRecording(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	for i := range 7 {
		f.Record(prediction(fmt.Sprint(i), float64(i), 10))
	}
	f.Record(prediction("3", 99, 99)) // repeated: changes nothing
	if err := f.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.deps.Metrics = nil
	f.start(t) // the windows go on after a restart
	f.Record(prediction("7", 7, 20))
	f.Record(prediction("8", 8, 10, 1)) // malformed
	if err := f.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	query := func(i int64) *data.Window {
		w, err := f.Window(t.Context(), data.WindowQuery{
			Namespace: "default", Endpoint: "parts", Model: "reader", Version: "1", Origin: 1, Index: i, Size: 3, Profile: &profile, Features: 2,
		})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	w := query(1)
	if w.Rows != 3 || w.FirstID != "3" || !slices.Equal(w.Columns[0], []float64{3, 4, 5}) || w.Columns[1][0] == w.Columns[1][0] {
		t.Errorf("window 1: %+v", w)
	}
	if want := []map[int]int{{6: 3}, {1: 3}}; w.Counts == nil || !cmp.Equal(w.Counts.Features, want) || w.Counts.Rows != 3 {
		t.Errorf("counts %+v, want %v", w.Counts, want)
	}
	w = query(2)
	if w.Rows != 3 || w.Malformed != 1 || w.Counts.Rows != 2 || !cmp.Equal(w.Counts.Features[1], map[int]int{1: 1, 3: 1}) {
		t.Errorf("window 2: %+v, counts %+v", w, w.Counts)
	}
	if w := query(3); w.Rows != 0 || w.Counts != nil {
		t.Errorf("window 3: %+v", w)
	}
	p, err := f.Get(t.Context(), "default", "4")
	if err != nil || p.Features[0] != 4 || p.Features[1] == p.Features[1] {
		t.Errorf("the masked feature was kept: %+v, %v", p, err)
	}
	rec.Masked = []string{"c"}
	if err := f.SetRecording(t.Context(), rec); code(err) != "INVALID_ARGUMENT" {
		t.Errorf("a masked field that does not exist: %v", err)
	}
}

func TestService_Record_keepsNoFeaturesUnlessAsked(t *testing.T) {
	onBoth(t, testRecordKeepsNoFeaturesUnlessAsked)
}

func testRecordKeepsNoFeaturesUnlessAsked(t *testing.T, f *fixture) {
	f.Record(prediction("x", 1, 2, 3))
	p, err := f.Get(t.Context(), "default", "x")
	if err != nil || p.Features != nil || string(p.Output) == "" || p.ModelVersion != "1" {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestService_Sweep(t *testing.T) { onBoth(t, testSweep) }

func testSweep(t *testing.T, f *fixture) {
	if err := f.SetRecording(t.Context(), data.Recording{Namespace: "default", Endpoint: "parts", Retention: time.Hour}); err != nil {
		t.Fatal(err)
	}
	f.Record(prediction("old"))
	other := prediction("kept")
	other.Endpoint = "other"
	f.Record(other)
	if err := f.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.clock.advance(2 * time.Hour)
	f.Record(prediction("new"))
	if err := f.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := f.Sweep(t.Context()); n > 1 || err != nil { // the sweep at the start may just have been faster
		t.Errorf("swept %d, %v", n, err)
	}
	if _, err := f.Get(t.Context(), "default", "old"); code(err) != "NOT_FOUND" {
		t.Errorf("old: %v", err)
	}
	for _, id := range []string{"new", "kept"} {
		if _, err := f.Get(t.Context(), "default", id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestService_Freeze(t *testing.T) { onBoth(t, testFreeze) }

func testFreeze(t *testing.T, f *fixture) {
	profile := data.NewProfile([]string{"a", "b"}, [][]float64{{0}, {0}})
	if err := f.SetRecording(t.Context(), data.Recording{Namespace: "default", Endpoint: "parts", Names: profile.Names, Samples: true}); err != nil {
		t.Fatal(err)
	}
	previous, err := f.Ingest(t.Context(), data.IngestRequest{Namespace: "default", Name: "parts", Body: strings.NewReader("b,a,label\n5,1,x\n500,500,y\n")})
	if err != nil {
		t.Fatal(err)
	}
	from := f.clock.Now()
	var labels []data.Feedback
	for i := range 200 {
		id := fmt.Sprintf("s%03d", i)
		f.Record(prediction(id, float64(i%150), 5)) // 50 rows come twice
		labels = append(labels, data.Feedback{ID: id, Label: json.RawMessage("7")})
	}
	f.Record(prediction("unlabelled", 1000, 5))
	if err := f.Feedback(t.Context(), "default", "parts", labels); err != nil {
		t.Fatal(err)
	}
	r := data.FreezeRequest{
		Namespace: "default", Endpoint: "parts", From: from, To: f.clock.Now(), MinLabelled: 200, Holdout: 0.25,
		Dataset: "parts", GateDataset: "parts-gate", Previous: previous.Version, IncludePrevious: true,
	}
	if n, err := f.CountSamples(t.Context(), "default", "parts", from); n != 200 || err != nil {
		t.Errorf("%d samples, %v", n, err)
	}
	frozen, err := f.Freeze(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	again, err := f.Freeze(t.Context(), r)
	if err != nil || !cmp.Equal(frozen, again) {
		t.Errorf("again: %v\n%s", err, cmp.Diff(frozen, again))
	}
	if frozen.Samples != 200 || frozen.Distinct != 150 || frozen.PreviousRows != 2 {
		t.Errorf("got %+v", frozen)
	}
	// Row (1, 5) is in the previous version, so it is in neither part once more.
	if got := frozen.TrainingRows + frozen.GateRows; got != 149 {
		t.Errorf("%d new rows, want 149", got)
	}
	rows := map[string]string{}
	for part, v := range map[string]*data.Version{"training": frozen.Training, "gate": frozen.Gate} {
		frame, err := f.Frame(t.Context(), v, "label")
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(frame.Names, []string{"a", "b"}) || int64(frame.Rows()) != v.Rows || v.Origin != data.OriginFrozen {
			t.Errorf("%s: %v, %d rows, %+v", part, frame.Names, frame.Rows(), v)
		}
		for i := range frame.Rows() {
			key := fmt.Sprint(frame.Row(i))
			if had := rows[key]; had != "" {
				t.Errorf("row %s is in %s and in %s", key, had, part)
			}
			rows[key] = part
		}
	}
	if share := float64(frozen.GateRows) / 149; share < 0.15 || share > 0.35 {
		t.Errorf("%.2f of the rows are held back, asked for 0.25", share)
	}
	r.MinLabelled = 201
	if _, err := f.Freeze(t.Context(), r); code(err) != "INSUFFICIENT_DATA" {
		t.Errorf("too few: %v", err)
	}
	r.MinLabelled, r.To = 1, from
	if _, err := f.Freeze(t.Context(), r); code(err) != "INSUFFICIENT_DATA" {
		t.Errorf("labels after the end counted: %v", err)
	}
}
