package data_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/data"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
)

// BenchmarkService_Record measures one image of 64 grey values, kept and counted, until it is on the disk.
func BenchmarkService_Record(b *testing.B) {
	bucket, err := blob.OpenFolder(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer bucket.Close()
	s, err := data.New(data.Deps{Store: storetest.Open(b), Blobs: bucket, TempDir: b.TempDir(), Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Init(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := s.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	defer s.Stop(b.Context())
	rng := rand.New(rand.NewPCG(1, 2))
	names, columns := make([]string, 64), make([][]float64, 64)
	for f := range names {
		names[f] = fmt.Sprint(f)
		for range 500 {
			columns[f] = append(columns[f], float64(rng.IntN(17)))
		}
	}
	profile := data.NewProfile(names, columns)
	if err := s.SetRecording(b.Context(), data.Recording{
		Namespace: "default", Endpoint: "parts", Names: names, Samples: true, Model: "reader", ModelVersion: "1", Profile: &profile, WindowSize: 100,
	}); err != nil {
		b.Fatal(err)
	}
	row := make([]float64, 64)
	for i := range row {
		row[i] = float64(rng.IntN(17))
	}
	n := 0
	for b.Loop() {
		p := prediction(fmt.Sprint(n), row...)
		s.Record(p)
		if n++; n%2048 == 0 {
			if err := s.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := s.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
}
