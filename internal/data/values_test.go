package data

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
)

func TestCorrect(t *testing.T) {
	cases := map[string]struct {
		output, label string
		want, fails   bool
	}{
		"Number":         {"7", "7", true, false},
		"Float":          {"7.0", "7", true, false},
		"Text":           {`"7"`, "7", true, false},
		"Wrong":          {"8", "7", false, false},
		"Word":           {`"scratch"`, `"scratch"`, true, false},
		"Bool":           {"true", "true", true, false},
		"Named":          {`{"label":7,"probabilities":[0.9,0.1]}`, "7", true, false},
		"OutputLabel":    {`{"output_label":7,"output_probability":[0.9,0.1]}`, "7", true, false},
		"NamedList":      {`{"label":[7],"probabilities":[[1]]}`, "7", true, false},
		"OnlyMember":     {`{"y":[0.1,0.7,0.2]}`, "1", true, false},
		"Probabilities":  {"[0.1,0.7,0.2]", "1", true, false},
		"OneElement":     {"[3]", "3", true, false},
		"TwoMembers":     {`{"x":1,"y":2}`, "1", false, true},
		"EmptyList":      {"[]", "1", false, true},
		"Null":           {"null", "1", false, true},
		"LabelIsList":    {"1", "[1]", false, true},
		"LabelIsNothing": {"1", "", false, true},
		"LongInteger":    {"9007199254740993", "9007199254740992", false, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Correct(json.RawMessage(c.output), json.RawMessage(c.label))
			if got != c.want || (err != nil) != c.fails {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func FuzzCorrect(f *testing.F) {
	f.Add(`{"label":[7]}`, "7")
	f.Add(`[1e400]`, `"x"`)
	f.Fuzz(func(_ *testing.T, output, label string) {
		Correct(json.RawMessage(output), json.RawMessage(label))
	})
}

func TestCounts_encode(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	column := make([]float64, 10_000)
	for i := range column {
		column[i] = rng.NormFloat64()
	}
	p := NewProfile([]string{"normal", "constant", "empty"}, [][]float64{column, {0, 0}, {math.NaN()}})
	if p.Bins(0) > 2*maxCuts+1 || p.Bins(1) != 3 || p.Bins(2) != 1 {
		t.Errorf("bins %d, %d, %d", p.Bins(0), p.Bins(1), p.Bins(2))
	}
	c := NewCounts(3)
	for range 500 {
		c.Add(p, []float64{rng.NormFloat64(), 0, math.NaN()})
	}
	c.Add(p, []float64{1})
	got, err := decodeCounts(c.encode(), c.Rows)
	if err != nil || !cmp.Equal(got, c) || got.Rows != 500 || got.Features[1][1] != 500 || len(got.Features[2]) != 0 {
		t.Errorf("%v\n%s", err, cmp.Diff(c, got))
	}
	if q := NewProfile(p.Names, [][]float64{column, {0}, nil}); q.Digest() != p.Digest() {
		t.Error("the same cuts have two digests")
	}
}

func FuzzDecodeCounts(f *testing.F) {
	f.Add(NewCounts(3).encode())
	f.Add([]byte{1, 1, 200})
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := decodeCounts(b, 0); err == nil {
			if again, err := decodeCounts(c.encode(), 0); err != nil || !cmp.Equal(again, c) {
				t.Errorf("%v\n%s", err, cmp.Diff(c, again))
			}
		}
	})
}

func TestProfile_Bin(t *testing.T) {
	p := NewProfile([]string{"f"}, [][]float64{{1, 3, 3}})
	for v, want := range map[float64]int{0: 0, 1: 1, 2: 2, 3: 3, 4: 4, math.Inf(-1): 0, math.Inf(1): 4} {
		if got := p.Bin(0, v); got != want {
			t.Errorf("bin of %v is %d, want %d", v, got, want)
		}
	}
}

type parquetRow struct {
	Pixel int64    `parquet:"pixel"`
	Gauge *float64 `parquet:"gauge"`
	Good  bool     `parquet:"good"`
	Label string   `parquet:"label"`
}

func parquetBytes(tb testing.TB, rows int) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[parquetRow](&b, parquet.MaxRowsPerRowGroup(200))
	for i := range rows {
		g := float64(i) / 2
		row := parquetRow{int64(i), &g, i%2 == 0, "x"}
		if i == 1 {
			row.Gauge = nil
		}
		if _, err := w.Write([]parquetRow{row}); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func TestOpenTable_parquet(t *testing.T) {
	b := parquetBytes(t, 500)
	tab, format, err := openTable(bytes.NewReader(b), int64(len(b)))
	if err != nil || format != Parquet {
		t.Fatal(format, err)
	}
	s, rows, err := check(tab, nil)
	want := []Column{{Name: "pixel", Type: Int}, {Name: "gauge", Type: Float, Nullable: true}, {Name: "good", Type: Bool}, {Name: "label", Type: String}}
	if err != nil || rows != 500 || !cmp.Equal(s.Columns, want) {
		t.Errorf("%d rows, %v\n%s", rows, err, cmp.Diff(want, s.Columns))
	}
	limit := 400.0
	tab, _, err = openTable(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = check(tab, &Schema{Columns: []Column{{Name: "pixel", Type: Int, Max: &limit}, {Name: "gauge", Type: Float}, {Name: "good", Type: Bool}, {Name: "label", Type: String}}})
	if err == nil || !strings.Contains(err.Error(), `row 2, column "gauge": is empty; row 402, column "pixel": 401 is above`) {
		t.Errorf("got %v", err)
	}
	type nested struct {
		Values []float64 `parquet:"values"`
	}
	var n bytes.Buffer
	w := parquet.NewGenericWriter[nested](&n)
	if _, err := w.Write([]nested{{[]float64{1}}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err = openTable(bytes.NewReader(n.Bytes()), int64(n.Len())); err == nil || !strings.Contains(err.Error(), `"values" is nested or repeated`) {
		t.Errorf("nested: %v", err)
	}
}

func FuzzOpenTable(f *testing.F) {
	f.Add([]byte("a,b\n1,2\n"))
	f.Add([]byte("PAR1"))
	f.Add([]byte("\"a\nb\",c\n1,\"x\""))
	f.Add(parquetBytes(f, 3))
	f.Fuzz(func(_ *testing.T, b []byte) {
		tab, _, err := openTable(bytes.NewReader(b), int64(len(b)))
		if err == nil {
			check(tab, nil)
		}
	})
}

func FuzzParseSchema(f *testing.F) {
	f.Add([]byte(`{"columns":[{"name":"a","type":"float","min":0,"max":1,"nullable":true}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := ParseSchema(b); err == nil && len(s.Columns) == 0 {
			t.Error("a schema without columns")
		}
	})
}

func TestParseSchema_faults(t *testing.T) {
	for text, want := range map[string]string{
		`{"columns":[]}`: "1 to", `x`: "not valid", `{"columns":[{"name":"a","type":"date"}]}`: "date",
		`{"columns":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}`: "twice",
		`{"columns":[{"name":"a","type":"int","min":2,"max":1}]}`:           "above max",
		`{"columns":[{"name":"a","type":"string","min":2}]}`:                "need type",
		`{"columns":[{"name":"a","type":"int","unit":"mm"}]}`:               "unit",
	} {
		if _, err := ParseSchema([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestReadFrame(t *testing.T) {
	f, err := ReadFrame(strings.NewReader("a,label,b\n1,x,2\n,y,3\n"), "label", 10)
	if err != nil || !slices.Equal(f.Names, []string{"a", "b"}) || !slices.Equal(f.Labels, []string{"x", "y"}) || f.Rows() != 2 || !math.IsNaN(f.Columns[0][1]) || f.Row(0)[1] != 2 {
		t.Errorf("%+v, %v", f, err)
	}
	for text, want := range map[string]string{"a\nx\n": `row 1, column "a"`, "a\n1\n2\n3\n": "more than 2 rows", "": "header"} {
		if _, err := ReadFrame(strings.NewReader(text), "label", 2); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestOpenTable_pyarrow(t *testing.T) {
	b, err := os.ReadFile("testdata/pyarrow.parquet")
	if err != nil {
		t.Fatal(err)
	}
	tab, _, err := openTable(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	s, rows, err := check(tab, nil)
	want := []Column{{Name: "pixel", Type: Int}, {Name: "gauge", Type: Float, Nullable: true}, {Name: "good", Type: Bool}, {Name: "part", Type: String}}
	if err != nil || rows != 300 || !cmp.Equal(s.Columns, want) {
		t.Errorf("%d rows, %v\n%s", rows, err, cmp.Diff(want, s.Columns))
	}
	if _, _, err := openTable(bytes.NewReader(b[:len(b)/2]), int64(len(b)/2)); err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("half of it: %v", err)
	}
}

// Sizes that a file claims must not be believed: each of these once cost gigabytes.
func TestOpenTable_liesAboutSizes(t *testing.T) {
	b := parquetBytes(t, 3)
	for name, change := range map[string]func([]byte){
		"Footer": func(b []byte) { b[len(b)-5] = 0xf8 },
		"Short":  func(b []byte) { copy(b[4:], "PAR1") },
	} {
		t.Run(name, func(t *testing.T) {
			c := bytes.Clone(b)
			change(c)
			if name == "Short" {
				c = c[:8]
			}
			if _, _, err := openTable(bytes.NewReader(c), int64(len(c))); err == nil {
				t.Error("it was accepted")
			}
		})
	}
}
