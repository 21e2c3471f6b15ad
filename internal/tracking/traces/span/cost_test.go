package span

import "testing"

func TestSetCost(t *testing.T) {
	of := func(model, provider string, input, output, cacheRead, cacheWrite, hour float64) (in, out float64, ok bool) {
		return input + cacheRead + cacheWrite + hour, output, model == "m" && provider == "p"
	}
	for name, c := range map[string]struct {
		attributes map[string]string
		want       string
	}{
		"Priced": {
			map[string]string{attrModel: `"m"`, attrProvider: `"p"`, attrUsage: `{"input_tokens":1,"output_tokens":2,"cache_read_input_tokens":4,"cache_creation_input_tokens":8,"cache_creation_input_tokens_above_1hr":16}`},
			`{"input_cost":29,"output_cost":2,"total_cost":31}`,
		},
		"Said":       {map[string]string{attrModel: `"m"`, attrProvider: `"p"`, attrUsage: `{"input_tokens":1}`, attrCost: "null"}, "null"},
		"OtherModel": {map[string]string{attrModel: `"x"`, attrProvider: `"p"`, attrUsage: `{"input_tokens":1}`}, ""},
		"NoUsage":    {map[string]string{attrModel: `"m"`, attrProvider: `"p"`}, ""},
		"NoModel":    {map[string]string{attrUsage: `{"input_tokens":1}`}, ""},
	} {
		s := Span{Attributes: c.attributes}
		if s.SetCost(of); s.Attributes[attrCost] != c.want {
			t.Errorf("%s: %s, want %s", name, s.Attributes[attrCost], c.want)
		}
	}
}
