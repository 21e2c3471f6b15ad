package monitor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	v1alpha1 "github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/data"
	"github.com/kiwerk/kiwerk/internal/monitor/ks"
)

// pixels draws rows like small images: many features never change, the others are whole numbers from 0 to 16 with many zeros.
func pixels(rng *rand.Rand, rows int, brightness float64) [][]float64 {
	const features = 64
	columns := make([][]float64, features)
	for range rows {
		stroke := rng.NormFloat64() // makes the features of a row depend on each other
		for f := range columns {
			v := 0.0
			if f%8 != 0 {
				v = max(0, min(16, math.Round(brightness*(float64(f%16)+4*stroke+3*rng.NormFloat64()))))
			}
			columns[f] = append(columns[f], v)
		}
	}
	return columns
}

func reference(t *testing.T, columns [][]float64) *Reference {
	t.Helper()
	var b strings.Builder
	for f := range columns {
		fmt.Fprintf(&b, "pixel_%d,", f)
	}
	b.WriteString("label\n")
	for i := range columns[0] {
		for f := range columns {
			fmt.Fprintf(&b, "%v,", columns[f][i])
		}
		b.WriteString("7\n")
	}
	ref, err := ReadReference(strings.NewReader(b.String()), "run", "reference.csv", "label")
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func windowOf(ref *Reference, columns [][]float64, samples bool) *data.Window {
	w := &data.Window{Rows: len(columns[0]), Counts: data.NewCounts(len(columns))}
	for i := range w.Rows {
		row := make([]float64, len(columns))
		for f := range columns {
			row[f] = columns[f][i]
		}
		w.Counts.Add(ref.Profile, row)
	}
	if samples {
		w.Columns = columns
	}
	return w
}

func settings() Settings {
	return SettingsOf(v1alpha1.ModelMonitorSpec{}.WithDefaults())
}

func TestJudge_imagesWithoutDriftAndWith(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	ref := reference(t, pixels(rng, 500, 1))
	for _, samples := range []bool{true, false} {
		name := map[bool]string{true: "Samples", false: "Counts"}[samples]
		t.Run(name, func(t *testing.T) {
			const windows = 40
			alarms := 0
			for range windows {
				v := Judge(ref, windowOf(ref, pixels(rng, 75, 1), samples), settings())
				if v.Verdict == v1alpha1.VerdictInsufficientData || len(v.Features) > 56 {
					t.Fatalf("%s, %d features compared; 8 of 64 are constant", v.Verdict, len(v.Features))
				}
				if v.Verdict == v1alpha1.VerdictDrift {
					alarms++
				}
			}
			if limit := 0.05*windows + 3*math.Sqrt(0.05*0.95*windows); float64(alarms) > limit {
				t.Errorf("%d of %d undrifted windows drifted, at most %.0f can be chance", alarms, windows, limit)
			}
			v := Judge(ref, windowOf(ref, pixels(rng, 75, 0.55), samples), settings())
			if v.Verdict != v1alpha1.VerdictDrift || len(v.Drifted()) < 10 || v.Drifted()[0].DLow != v.MaxEffect || v.Drifted()[0].Exact != samples {
				t.Errorf("a darker camera: %s, %d features", v.Verdict, len(v.Drifted()))
			}
		})
	}
}

func TestJudge_rules(t *testing.T) {
	column := func(n int, shift float64) [][]float64 {
		c := make([]float64, n)
		for i := range c {
			c[i] = float64(i)/float64(n) + shift
		}
		return [][]float64{c}
	}
	ref := reference(t, column(2000, 0))
	small := reference(t, column(20, 0))
	base := settings()
	cases := map[string]struct {
		reason  string
		ref     *Reference
		window  *data.Window
		change  func(*Settings)
		verdict string
		why     string
	}{
		"SameDistribution":  {"no distance", ref, windowOf(ref, column(100, 0), true), nil, v1alpha1.VerdictNoDrift, ""},
		"Shifted":           {"significant and large", ref, windowOf(ref, column(100, 0.3), true), nil, v1alpha1.VerdictDrift, ""},
		"SmallEffect":       {"significant, but below the minimum effect", ref, windowOf(ref, column(2000, 0.08), true), nil, v1alpha1.VerdictNoDrift, ""},
		"SmallEffectWanted": {"the same with a smaller minimum", ref, windowOf(ref, column(2000, 0.08), true), func(s *Settings) { s.MinEffect = 0.05 }, v1alpha1.VerdictDrift, ""},
		"NotSignificant":    {"large effect, but chance at this size", ref, windowOf(ref, column(30, 0.15), true), nil, v1alpha1.VerdictNoDrift, ""},
		"FewRows":           {"", ref, windowOf(ref, column(29, 0.9), true), nil, v1alpha1.VerdictInsufficientData, WhyFewRows},
		"FewReferenceRows":  {"", small, windowOf(small, column(100, 0.9), true), nil, v1alpha1.VerdictInsufficientData, WhyFewReference},
		"NothingRecorded":   {"", ref, &data.Window{Rows: 100}, nil, v1alpha1.VerdictInsufficientData, WhyNotRecorded},
		"Malformed":         {"", ref, &data.Window{Rows: 100, Malformed: 80, Columns: column(20, 0.9)}, nil, v1alpha1.VerdictInsufficientData, WhyFewRows},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := base
			if c.change != nil {
				c.change(&s)
			}
			if v := Judge(c.ref, c.window, s); v.Verdict != c.verdict || v.Why != c.why {
				t.Errorf("got %s %s, want %s %s (%s): %+v", v.Verdict, v.Why, c.verdict, c.why, c.reason, v)
			}
		})
	}
}

func TestJudge_maskedFeatureIsJudgedByCounts(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	ref := reference(t, pixels(rng, 500, 1))
	columns := pixels(rng, 100, 0.5)
	w := windowOf(ref, columns, true)
	for i := range columns[15] {
		columns[15][i] = math.NaN()
	}
	for _, f := range Judge(ref, w, settings()).Features {
		if want := f.Name != "pixel_15"; f.Exact != want {
			t.Errorf("%s: exact is %v", f.Name, f.Exact)
		}
		if f.Name == "pixel_15" && !f.Drifted {
			t.Errorf("the masked feature drifted, too: %+v", f)
		}
	}
}

func TestJudge_correction(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	normal := func(n, features int) [][]float64 {
		c := make([][]float64, features)
		for f := range c {
			for range n {
				c[f] = append(c[f], rng.NormFloat64())
			}
		}
		return c
	}
	ref := reference(t, normal(400, 100))
	drifted := map[ks.Correction]int{}
	for range 20 {
		w := windowOf(ref, normal(100, 100), true)
		for _, c := range []ks.Correction{ks.BenjaminiHochberg, ks.None} {
			s := settings()
			s.Correction = c
			drifted[c] += len(Judge(ref, w, s).Drifted())
		}
	}
	if drifted[ks.None] < 40 || drifted[ks.BenjaminiHochberg] > 4 {
		t.Errorf("of 2000 undrifted features %d drift without correction and %d with", drifted[ks.None], drifted[ks.BenjaminiHochberg])
	}
}

func TestReadReference_faults(t *testing.T) {
	for text, want := range map[string]string{
		"": "header", "a,b\n": "no row", "label\n7\n": "no column beside", "a\nx\n": `row 1, column "a"`, "a,a\n1,2\n": "twice",
	} {
		_, err := ReadReference(strings.NewReader(text), "r1", "reference.csv", "label")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "reference.csv of run r1") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzReadReference(f *testing.F) {
	f.Add("a,b,label\n1,2,x\n")
	f.Add("a\nNaN\n+Inf\n")
	f.Fuzz(func(_ *testing.T, text string) {
		if ref, err := ReadReference(strings.NewReader(text), "r", "a", "label"); err == nil {
			Judge(ref, &data.Window{Rows: 1, Columns: ref.columns}, Settings{Alpha: 0.05})
		}
	})
}

func TestJudge_featureThatIsMostlyMissing(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	ref := reference(t, pixels(rng, 300, 1))
	columns := pixels(rng, 100, 1)
	for i := range columns[15] {
		columns[15][i] = math.NaN()
		if i < 20 {
			columns[15][i] = 16 // far too few to say anything, whatever they are
		}
	}
	for _, samples := range []bool{true, false} {
		for _, f := range Judge(ref, windowOf(ref, columns, samples), settings()).Features {
			if f.Name == "pixel_15" {
				t.Errorf("samples %v: it was compared: %+v", samples, f)
			}
		}
	}
}
