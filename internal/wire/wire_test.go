package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func floats(v ...float32) []byte {
	var b []byte
	for _, f := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return b
}

func ints(v ...int64) []byte {
	var b []byte
	for _, i := range v {
		b = binary.LittleEndian.AppendUint64(b, uint64(i))
	}
	return b
}

var (
	oneFloat = []Spec{{"x", Float32, []int64{-1, 2}}}
	oneInt   = []Spec{{"x", Int32, []int64{-1}}}
	oneText  = []Spec{{"s", Bytes, []int64{-1}}}
	two      = []Spec{{"a", Float32, []int64{-1}}, {"b", Int64, []int64{-1, 2}}}
)

func TestParsePredict_accepts(t *testing.T) {
	cases := map[string]struct {
		body   string
		inputs []Spec
		want   PredictRequest
	}{
		"RowMixedNotation": {`{"instances": [[ 1 ,2.50], [-0.25, 1e1],[0,-0]]}`, oneFloat, PredictRequest{Inputs: []Tensor{
			{Name: "x", Type: Float32, Shape: []int64{3, 2}, Data: floats(1, 2.5, -.25, 10, 0, float32(math.Copysign(0, -1)))},
		}}},
		"LongInner": {`{"inputs": [[1,2,3.5,4],[5,6,7,8]]}`, oneFloat, PredictRequest{Columnar: true, Inputs: []Tensor{
			{Name: "x", Type: Float32, Shape: []int64{2, 4}, Data: floats(1, 2, 3.5, 4, 5, 6, 7, 8)},
		}}},
		"Row": {`{"instances": [[1, 2], [3.5, -4e-1]]}`, oneFloat, PredictRequest{Inputs: []Tensor{
			{Name: "x", Type: Float32, Shape: []int64{2, 2}, Data: floats(1, 2, 3.5, -.4)},
		}}},
		"RowNamedSingle": {`{"instances": [{"x":[1, 2]}]}`, oneFloat, PredictRequest{Inputs: []Tensor{
			{Name: "x", Type: Float32, Shape: []int64{1, 2}, Data: floats(1, 2)},
		}}},
		"Columnar": {`{"signature_name":"s","inputs": [[1, NaN],[Infinity,-Infinity]]}`, oneFloat, PredictRequest{Signature: "s", Columnar: true, Inputs: []Tensor{
			{Name: "x", Type: Float32, Shape: []int64{2, 2}, Data: floats(1, float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)))},
		}}},
		"ColumnarScalar": {`{"inputs": 3}`, []Spec{{"x", Float32, nil}}, PredictRequest{Columnar: true, Inputs: []Tensor{
			{Name: "x", Type: Float32, Shape: []int64{}, Data: floats(3)},
		}}},
		"TwoRows": {`{"instances": [{"b":[1,2],"a":1},{"a":2,"b":[3,4]}]}`, two, PredictRequest{Inputs: []Tensor{
			{Name: "a", Type: Float32, Shape: []int64{2}, Data: floats(1, 2)},
			{Name: "b", Type: Int64, Shape: []int64{2, 2}, Data: ints(1, 2, 3, 4)},
		}}},
		"TwoColumns": {`{"inputs": {"a":[1],"b":[[1,2]]}, "unknown":{"x":[null,true,"\u00e9\ud83d\ude00"]}}`, two, PredictRequest{Columnar: true, Inputs: []Tensor{
			{Name: "a", Type: Float32, Shape: []int64{1}, Data: floats(1)},
			{Name: "b", Type: Int64, Shape: []int64{1, 2}, Data: ints(1, 2)},
		}}},
		"Strings": {`{"instances": ["a\n\u00e4", {"b64":"aGk="}]}`, oneText, PredictRequest{Inputs: []Tensor{
			{Name: "s", Type: Bytes, Shape: []int64{2}, Strings: [][]byte{[]byte("a\nä"), []byte("hi")}},
		}}},
		"Empty": {`{"instances": []}`, oneFloat, PredictRequest{Inputs: []Tensor{{Name: "x", Type: Float32, Shape: []int64{0}}}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := ParsePredict([]byte(c.body), c.inputs)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParsePredict_refuses(t *testing.T) {
	cases := map[string]struct {
		body   string
		inputs []Spec
		want   string
	}{
		"Nothing":        {``, oneFloat, "JSON Parse error: The document is empty. at offset: 0"},
		"NotJSON":        {`hello`, oneFloat, "Request must be a JSON object"},
		"NoKey":          {`{}`, oneFloat, "Missing 'inputs' or 'instances' key"},
		"Both":           {`{"inputs":[1],"instances":[1]}`, oneInt, "Both 'inputs' and 'instances'"},
		"Ragged":         {`{"instances":[[1,2],[3]]}`, oneFloat, "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Encountered list at unexpected size: 1 at level: 1 expected size: 2"},
		"MixedDepth":     {`{"instances":[[1],[[2]]]}`, oneFloat, "Encountered list at unexpected level: 2 expected < 2"},
		"LeafTooHigh":    {`{"instances":[[1],2]}`, oneFloat, "found at incorrect level: 2 in the JSON DOM. Expected at level: 2"},
		"FloatForInt":    {`{"instances":[1.0]}`, oneInt, "JSON Value: 1.0 Type: Number is not of expected type: int32"},
		"IntRange":       {`{"instances":[3000000000]}`, oneInt, "JSON Value: 3000000000 Type: Number is not of expected type: int32"},
		"StringForFloat": {`{"instances":[["a",1]]}`, oneFloat, `JSON Value: "a" Type: String is not of expected type: float`},
		"Null":           {`{"instances":[[null,1]]}`, oneFloat, "Type: Null"},
		"PlainForTwo":    {`{"instances":[1]}`, two, "expecting list of objects as multiple input tensors"},
		"MissingInRow":   {`{"instances":[{"a":1}]}`, two, `JSON object: {"a":1} keys must be equal to: a,b`},
		"UnknownInRow":   {`{"instances":[{"c":1}]}`, two, "does not have named input: c"},
		"TwiceInRow":     {`{"instances":[{"a":1,"a":1,"b":[1,2]}]}`, two, "given twice"},
		"MissingColumn":  {`{"inputs":{"a":[1]}}`, two, "Missing named input: b in 'inputs' object."},
		"Trailing":       {`{"instances":[1]} x`, oneInt, "The document root must not be followed by other values."},
		"Cut":            {`{"instances":[1`, oneInt, "Missing a comma or ] after an array element."},
		"BadBase64":      {`{"instances":[{"b64":"***"}]}`, oneText, "base64"},
		"LeadingZero":    {`{"instances":[01]}`, oneInt, errValue},
		"LeadingZeroes":  {`{"instances":[[1,00.5,2]]}`, oneFloat, errValue},
		"NoFraction":     {`{"instances":[[1,2.,2]]}`, oneFloat, "Miss fraction part"},
		"OnlyFraction":   {`{"instances":[[1,.5,2]]}`, oneFloat, errValue},
		"TrailingComma":  {`{"instances":[[1,2,]]}`, oneFloat, errValue},
		"ListAfterLeaf":  {`{"instances":[[1,[2]]]}`, oneFloat, "unexpected level: 2 expected < 2"},
		"LeafAfterList":  {`{"instances":[[[1],2.5,3]]}`, oneFloat, "found at incorrect level"},
		"DeepTensor":     {`{"instances":` + strings.Repeat("[", 100), oneFloat, "unexpected level: 32"},
		"DeepUnknown":    {`{"u":` + strings.Repeat("[", 100), oneFloat, "nested deeper"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := ParsePredict([]byte(c.body), c.inputs)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestAppendPredict(t *testing.T) {
	label := Tensor{Name: "label", Type: Int64, Shape: []int64{2}, Data: ints(3, 4)}
	score := Tensor{Name: "score", Type: Float32, Shape: []int64{2, 2}, Data: floats(.1, .9, 1, 9000000)}
	text := Tensor{Name: "t", Type: Bytes, Shape: []int64{2}, Strings: [][]byte{[]byte(`a"b`), {0xff}}}
	image := Tensor{Name: "image_bytes", Type: Bytes, Shape: []int64{1}, Strings: [][]byte{[]byte("hi")}}
	cases := map[string]struct {
		columnar bool
		outputs  []Tensor
		want     string
	}{
		"Row":         {false, []Tensor{score}, `{"predictions": [[0.1, 0.9], [1.0, 9e+06]]}`},
		"RowNamed":    {false, []Tensor{label, score}, `{"predictions": [{"label": 3,"score": [0.1, 0.9]},{"label": 4,"score": [1.0, 9e+06]}]}`},
		"Column":      {true, []Tensor{label}, `{"outputs": [3, 4]}`},
		"ColumnNamed": {true, []Tensor{label, score}, `{"outputs": {"label": [3, 4],"score": [[0.1, 0.9], [1.0, 9e+06]]}}`},
		"Strings":     {false, []Tensor{text}, `{"predictions": ["a\"b", {"b64": "/w=="}]}`},
		"Suffix":      {false, []Tensor{image}, `{"predictions": [{"b64": "aGk="}]}`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := AppendPredict(nil, c.columnar, c.outputs)
			if err != nil {
				t.Fatal(err)
			}
			if flat := unindent(string(got)); flat != c.want {
				t.Errorf("got  %s\nwant %s", flat, c.want)
			}
			if !json.Valid(got) {
				t.Errorf("no JSON: %s", got)
			}
		})
	}
	short := Tensor{Name: "short", Type: Int64, Shape: []int64{1}, Data: ints(3)}
	if _, err := AppendPredict(nil, false, []Tensor{label, short}); err == nil || !strings.Contains(err.Error(), "inconsistent batch size: 1 expecting: 2") {
		t.Errorf("got %v", err)
	}
}

func unindent(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimLeft(lines[i], " ")
	}
	return strings.Join(lines, "")
}

func TestAppendFloat(t *testing.T) {
	cases := map[string]struct {
		f    float64
		bits int
		want string
	}{
		"Whole": {3, 32, "3.0"}, "Tenth": {float64(float32(.1)), 32, "0.1"}, "Long": {float64(float32(.123456789)), 32, "0.123456791"},
		"Large": {9000000, 32, "9e+06"}, "Zero": {0, 32, "0.0"}, "Small": {1e-7, 64, "1e-07"}, "Double": {0.30000000000000004, 64, "0.30000000000000004"},
		"NaN": {math.NaN(), 32, "NaN"}, "Inf": {math.Inf(-1), 64, "-Infinity"}, "Hundred": {100000, 64, "100000.0"}, "Million": {1234567, 64, "1234567.0"},
	}
	for name, c := range cases {
		if got := string(appendFloat(nil, c.f, c.bits)); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

func TestParseInfer(t *testing.T) {
	body := `{"id":"7","model_name":"m","inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[1,2,3,4]},
		{"data":[[1],[2]],"name":"y","shape":[2,1],"datatype":"INT8","parameters":null}],"outputs":[{"name":"z"}]}`
	got, err := ParseInfer([]byte(body), -1, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &InferRequest{ID: "7", Outputs: []InferOutput{{Name: "z"}}, Inputs: []Tensor{
		{Name: "x", Type: Float32, Shape: []int64{2, 2}, Data: floats(1, 2, 3, 4)},
		{Name: "y", Type: Int8, Shape: []int64{2, 1}, Data: []byte{1, 2}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseInfer_binary(t *testing.T) {
	head := `{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":8}},
		{"name":"s","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":11}}],"parameters":{"binary_data_output":true},
		"outputs":[{"name":"a"},{"name":"b","parameters":{"binary_data":false}}]}`
	tail := append(floats(1, 2), "\x02\x00\x00\x00hi\x01\x00\x00\x00x"...)
	got, err := ParseInfer(append([]byte(head), tail...), len(head), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &InferRequest{BinaryOutputs: true, Outputs: []InferOutput{{"a", true}, {"b", false}}, Inputs: []Tensor{
		{Name: "x", Type: Float32, Shape: []int64{2}, Data: floats(1, 2)},
		{Name: "s", Type: Bytes, Shape: []int64{2}, Strings: [][]byte{[]byte("hi"), []byte("x")}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	raw, err := ParseInfer(floats(1, 2, 3, 4), 0, oneFloat)
	if err != nil || len(raw.Inputs) != 1 || raw.Inputs[0].Shape[0] != 2 {
		t.Errorf("raw request: %+v, %v", raw, err)
	}
}

func TestParseInfer_refuses(t *testing.T) {
	in := func(rest string) string { return `{"inputs":[{"name":"x",` + rest + `}]}` }
	cases := map[string]struct{ body, want string }{
		"Empty":       {"", errEmpty},
		"WrongCount":  {in(`"shape":[3],"datatype":"FP32","data":[1]`), `input "x" has 1 elements, its shape [3] needs 3`},
		"WrongNest":   {in(`"shape":[2,1],"datatype":"FP32","data":[[1,2]]`), "nested as [1,2]"},
		"Negative":    {in(`"shape":[-1],"datatype":"FP32","data":[1]`), "impossible shape"},
		"Overflow":    {in(`"shape":[9223372036854775807,9223372036854775807],"datatype":"FP32","data":[1]`), "impossible shape"},
		"EmptyLists":  {in(`"shape":[1000000000,0],"datatype":"FP32","data":[]`), "impossible shape"},
		"UnknownType": {in(`"shape":[1],"datatype":"FLOAT","data":[1]`), `unknown datatype "FLOAT"`},
		"NoData":      {in(`"shape":[1],"datatype":"FP32"`), "neither data nor"},
		"NoName":      {`{"inputs":[{"shape":[1],"datatype":"FP32","data":[1]}]}`, "needs name, shape and datatype"},
		"NoBytes":     {in(`"shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}`), "0 bytes are left"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := ParseInfer([]byte(c.body), -1, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if _, err := ParseHeaderLength("12", 3); err == nil {
		t.Error("a header length beyond the body must be refused")
	}
}

func TestAppendInfer_roundTrip(t *testing.T) {
	outputs := []Tensor{
		{Name: "y", Type: Float32, Shape: []int64{2, 1}, Data: floats(.5, 1)},
		{Name: "s", Type: Bytes, Shape: []int64{1}, Strings: [][]byte{[]byte("hé")}},
	}
	r := InferResponse{Model: "m", Version: "3", ID: "q", Outputs: outputs}
	text, header := AppendInfer(nil, r, func(string) bool { return false })
	if want := `{"model_name":"m","model_version":"3","id":"q","outputs":[{"name":"y","datatype":"FP32","shape":[2,1],"data":[0.5,1.0]},{"name":"s","datatype":"BYTES","shape":[1],"data":["hé"]}]}`; string(text) != want || header != 0 {
		t.Errorf("got %s, %d", text, header)
	}
	mixed, header := AppendInfer([]byte("kept"), r, func(name string) bool { return name == "y" })
	got, err := parseOutputs(mixed[4:], header)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(outputs, got); diff != "" {
		t.Error(diff)
	}
}

func TestSignature_Check(t *testing.T) {
	s := Signature{Inputs: two}
	a := Tensor{Name: "a", Type: Float32, Shape: []int64{2}}
	b := Tensor{Name: "b", Type: Int64, Shape: []int64{2, 2}}
	cases := map[string]struct {
		inputs []Tensor
		want   string
	}{
		"Good":     {[]Tensor{b, a}, ""},
		"Missing":  {[]Tensor{a}, `input "b" is missing; the model takes "a" FP32[-1], "b" INT64[-1,2]`},
		"Unknown":  {[]Tensor{a, b, {Name: "c"}}, `unexpected input "c"`},
		"Type":     {[]Tensor{a, {Name: "b", Type: Float32, Shape: []int64{2, 2}}}, `input "b" has datatype FP32, the model takes INT64`},
		"Shape":    {[]Tensor{a, {Name: "b", Type: Int64, Shape: []int64{2, 3}}}, `input "b" has shape [2,3], the model takes [-1,2]`},
		"Rank":     {[]Tensor{{Name: "a", Type: Float32, Shape: []int64{2, 1}}, b}, `input "a" has shape [2,1], the model takes [-1]`},
		"TwiceOne": {[]Tensor{a, a, b}, `given twice`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := s.Check(c.inputs)
			if c.want == "" {
				if err != nil || got[0].Name != "a" || got[1].Name != "b" {
					t.Errorf("got %v, %v", got, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestPredictRows(t *testing.T) {
	cases := map[string]struct {
		request, response string
		want              []Row
	}{
		"Row":      {`{"instances":[[1,[2]],[3,[true]]]}`, `{"predictions": [ [0.5, NaN], "a b" ]}`, []Row{{[]float64{1, 2}, json.RawMessage(`[0.5,null]`)}, {[]float64{3, 1}, json.RawMessage(`"a b"`)}}},
		"RowNamed": {`{"instances":[{"a":1,"b":2}]}`, "{\n \"predictions\": [{\n \"l\": 3, \"p\": [-Infinity]}]}", []Row{{[]float64{1, 2}, json.RawMessage(`{"l":3,"p":[null]}`)}}},
		"Column":   {`{"inputs":{"a":[1,2],"b":[[3],[4]]}}`, `{"outputs":{"l":[5,6],"p":[[7],[8]]}}`, []Row{{[]float64{1, 3}, json.RawMessage(`{"l":5,"p":[7]}`)}, {[]float64{2, 4}, json.RawMessage(`{"l":6,"p":[8]}`)}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := PredictRows([]byte(c.request), []byte(c.response))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := PredictRows([]byte(`{"instances":[1,2]}`), []byte(`{"predictions":[1]}`)); err == nil {
		t.Error("rows and answers that do not pair must be refused")
	}
}

func TestInferRows(t *testing.T) {
	request := []byte(`{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[1,2,3,4]}]}`)
	response, header := AppendInfer(nil, InferResponse{Model: "m", Outputs: []Tensor{
		{Name: "label", Type: Int64, Shape: []int64{2}, Data: ints(7, 8)},
		{Name: "p", Type: Float32, Shape: []int64{2, 1}, Data: floats(.5, float32(math.NaN()))},
	}}, func(string) bool { return true })
	got, err := InferRows(request, -1, response, header)
	if err != nil {
		t.Fatal(err)
	}
	want := []Row{{[]float64{1, 2}, json.RawMessage(`{"label":7,"p":[0.5]}`)}, {[]float64{3, 4}, json.RawMessage(`{"label":8,"p":[null]}`)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestHalf_roundTrip(t *testing.T) {
	for h := range 1 << 16 {
		f := halfToFloat(uint16(h))
		if f != f {
			continue
		}
		if got := floatToHalf(f); got != uint16(h) {
			t.Fatalf("%#04x became %v and then %#04x", h, f, got)
		}
	}
	for f, want := range map[float32]uint16{65519: 0x7bff, 65520: 0x7c00, 1e-10: 0, 1 + 1.0/2048: 0x3c00, 1 + 3.0/2048: 0x3c02} {
		if got := floatToHalf(f); got != want {
			t.Errorf("floatToHalf(%v) = %#04x, want %#04x", f, got, want)
		}
	}
}

func TestSomeDigits(t *testing.T) {
	for i := uint64(0); i < 100_000_000; i += 9973 {
		text := fmt.Appendf(nil, "%08d", i)
		for n := 1; n <= 8; n++ {
			want, err := strconv.ParseUint(string(text[:n]), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			padded := append(append([]byte{}, text[:n]...), ",12345678"...)
			if n == 8 {
				padded = text
			}
			if got, count := someDigits(padded); count != n || got != want {
				t.Fatalf("got %d, %d of %q", got, count, padded)
			}
		}
	}
	for at := range 8 {
		for b := range 256 {
			text := []byte("12345678")
			text[at] = byte(b)
			want := at
			if '0' <= b && b <= '9' {
				want = 8
			}
			if _, count := someDigits(text); count != want {
				t.Fatalf("%q: %d", text, count)
			}
		}
	}
	if _, count := someDigits([]byte("1234567")); count != 0 {
		t.Error("looked beyond the end")
	}
}

// The numbers that are read must be those of strconv, bit for bit.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"0", "-0", "1.5", "0.1", "16777217", "1e22", "1e23", "123456789012345678901234567890", "1e-45", "1.1754943e-38", "3.4028236e38", "0.000000000000000000000000000000000000000123456789012345678901", "1e400", "-1e-400", "8.5899345e9", "0.12345678", "0.1234567", "12.123456789", "0.00000001", "9007199791611905"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := &cursor{b: []byte(s)}
		n, err := c.number()
		if err != nil || c.i != len(s) || n.special || strings.TrimSpace(s) != s {
			t.Skip()
		}
		want, _ := strconv.ParseFloat(s, 64)
		if got := n.float64(); got != want && !(got != got && want != want) {
			t.Errorf("float64(%q) = %v, want %v", s, got, want)
		}
		want32, _ := strconv.ParseFloat(s, 32)
		if got := n.float32(); got != float32(want32) {
			t.Errorf("float32(%q) = %v, want %v", s, got, want32)
		}
		if got, next, ok := plainFloat([]byte(s), 0); ok && next == len(s) && got != float32(want32) {
			t.Errorf("plainFloat(%q) = %v, %d, want %v", s, got, next, want32)
		}
		if i, ok := n.int64(64); ok {
			if want, err := strconv.ParseInt(s, 10, 64); err != nil || want != i {
				t.Errorf("int64(%q) = %d, want %d, %v", s, i, want, err)
			}
		}
	})
}

func FuzzParsePredict(f *testing.F) {
	f.Add([]byte(`{"instances":[{"a":1,"b":[1,2]}]}`))
	f.Add([]byte(`{"inputs":{"a":[1],"b":[[1,2]]}}`))
	f.Add([]byte(`{"instances":[[1,2],[3,4]]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, specs := range [][]Spec{oneFloat, oneInt, oneText, two} {
			if req, err := ParsePredict(body, specs); err == nil {
				for i := range req.Inputs {
					n, ok := Elements(req.Inputs[i].Shape)
					if ok && n != int64(req.Inputs[i].Len()) {
						t.Error("shape and data differ")
					}
				}
			}
		}
		_, _ = PredictRows(body, body)
		_, _ = PredictRows(body, []byte(`{"predictions":[1]}`))
		_, _ = PredictRows([]byte(`{"instances":[1]}`), body)
	})
}

func FuzzParseInfer(f *testing.F) {
	f.Add([]byte(`{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[1,2,3,4]}]}`), -1)
	f.Add([]byte(`{"inputs":[{"name":"s","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":5}}]}`+"\x01\x00\x00\x00x"), 90)
	f.Fuzz(func(t *testing.T, body []byte, header int) {
		if header > len(body) || header < 0 {
			header = -1
		}
		req, err := ParseInfer(body, header, oneFloat)
		if err != nil {
			return
		}
		for i := range req.Inputs {
			if n, ok := Elements(req.Inputs[i].Shape); !ok || n != int64(req.Inputs[i].Len()) {
				t.Error("shape and data differ")
			}
		}
		_, _ = InferRows(body, header, body, header)
	})
}

func BenchmarkParsePredict_image(b *testing.B) {
	var body strings.Builder
	body.WriteString(`{"instances":[[`)
	for i := range 3 * 224 * 224 {
		if i > 0 {
			body.WriteByte(',')
		}
		body.WriteString(strconv.FormatFloat(float64(float32(i)*.37/1000), 'g', -1, 32))
	}
	body.WriteString("]]}")
	text := []byte(body.String())
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := ParsePredict(text, oneFloat); err != nil {
			b.Fatal(err)
		}
	}
}
