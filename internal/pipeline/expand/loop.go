package expand

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
)

// maxItems bounds one loop.
const maxItems = 100_000

// Items evaluates a loop. The bool is false where there is none.
func Items(loop argo.Loop, s *Scope) ([]argo.Item, bool, error) {
	switch {
	case len(loop.WithItems) > 0:
		items, err := withItems(loop.WithItems, s)
		return items, true, err
	case loop.WithParam != "":
		items, err := withParam(loop.WithParam, s)
		return items, true, err
	case loop.WithSequence != nil:
		items, err := withSequence(loop.WithSequence, s)
		return items, true, err
	default:
		return nil, false, nil
	}
}

func withItems(in []argo.Item, s *Scope) ([]argo.Item, error) {
	out := make([]argo.Item, len(in))
	for i, item := range in {
		var v any
		if err := json.Unmarshal(item.Raw, &v); err != nil {
			return nil, fmt.Errorf("withItems[%d]: %w", i, err)
		}
		if !strings.Contains(string(item.Raw), "{{") {
			out[i] = item
			continue
		}
		v, err := Tree(v, s)
		if err != nil {
			return nil, fmt.Errorf("withItems[%d]: %w", i, err)
		}
		raw, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("withItems[%d]: %w", i, err)
		}
		out[i] = argo.Item{Raw: raw}
	}
	return out, nil
}

func withParam(text string, s *Scope) ([]argo.Item, error) {
	value, err := Text(text, s)
	if err != nil {
		return nil, fmt.Errorf("withParam: %w", err)
	}
	var raws []json.RawMessage
	if err := json.Unmarshal([]byte(strings.TrimSpace(value)), &raws); err != nil {
		return nil, fmt.Errorf("withParam value could not be parsed as a JSON list: %s: %w", shorten(value), err)
	}
	if len(raws) > maxItems {
		return nil, fmt.Errorf("withParam has %d items, at most %d are allowed", len(raws), maxItems)
	}
	items := make([]argo.Item, len(raws))
	for i, r := range raws {
		items[i] = argo.Item{Raw: r}
	}
	return items, nil
}

// sequenceFormat is one verb for integers with a width of at most three digits.
var sequenceFormat = regexp.MustCompile(`^(?:[^%]|%%)*%[-+ 0#]{0,4}[0-9]{0,3}[dxXob](?:[^%]|%%)*$`)

func withSequence(seq *argo.Sequence, s *Scope) ([]argo.Item, error) {
	start, err := number(seq.Start, s, "start")
	if err != nil {
		return nil, err
	}
	var end int
	switch {
	case seq.End != nil && seq.Count != nil:
		return nil, fmt.Errorf("withSequence: give count or end, not both")
	case seq.End != nil:
		if end, err = number(seq.End, s, "end"); err != nil {
			return nil, err
		}
	case seq.Count != nil:
		count, err := number(seq.Count, s, "count")
		if err != nil {
			return nil, err
		}
		if count <= 0 {
			return nil, nil
		}
		end = start + count - 1
	default:
		return nil, fmt.Errorf("withSequence: count or end is required")
	}
	format := "%d"
	if seq.Format != "" {
		if format, err = Text(seq.Format, s); err != nil {
			return nil, fmt.Errorf("withSequence.format: %w", err)
		}
		if !sequenceFormat.MatchString(format) {
			return nil, fmt.Errorf("withSequence.format %q: expected one integer verb such as %%02d", shorten(format))
		}
	}
	step, n := 1, end-start
	if end < start {
		step, n = -1, start-end
	}
	if n < 0 || n >= maxItems {
		return nil, fmt.Errorf("withSequence from %d to %d has more than %d items", start, end, maxItems)
	}
	items := make([]argo.Item, 0, n+1)
	for i := 0; i <= n; i++ {
		raw, err := json.Marshal(fmt.Sprintf(format, start+i*step))
		if err != nil {
			return nil, fmt.Errorf("withSequence.format: %w", err)
		}
		items = append(items, argo.Item{Raw: raw})
	}
	return items, nil
}

func number(v *intstr.IntOrString, s *Scope, field string) (int, error) {
	n, err := Number(v, s)
	if err != nil {
		return 0, fmt.Errorf("withSequence.%s: %w", field, err)
	}
	return n, nil
}

// Number evaluates a field that is a number or a text with tags; nil is 0.
func Number(v *intstr.IntOrString, s *Scope) (int, error) {
	if v == nil {
		return 0, nil
	}
	if v.Type == intstr.Int {
		return v.IntValue(), nil
	}
	text, err := Text(v.StrVal, s)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", shorten(text))
	}
	return n, nil
}

// ItemScope is s with the item of a loop in it.
func ItemScope(s *Scope, item argo.Item) *Scope {
	inner := s.Inner()
	inner.Set("item", item.Text())
	for k, v := range fields(item) {
		inner.Set("item."+k, v.Text())
	}
	return inner
}

// ItemName is the name of a loop's child: name(index:description).
func ItemName(name string, index int, item argo.Item) string {
	desc := item.Text()
	if f := fields(item); f != nil {
		parts := make([]string, 0, len(f))
		for _, k := range sortedKeys(f) {
			parts = append(parts, k+":"+f[k].Text())
		}
		desc = strings.Join(parts, ",")
	}
	desc = strings.NewReplacer("(", "", ")", "").Replace(desc)
	return fmt.Sprintf("%s(%d:%s)", name, index, desc)
}

func fields(item argo.Item) map[string]argo.Item {
	if len(item.Raw) == 0 || item.Raw[0] != '{' {
		return nil
	}
	var m map[string]argo.Item
	if json.Unmarshal(item.Raw, &m) != nil {
		return nil
	}
	return m
}

func shorten(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
