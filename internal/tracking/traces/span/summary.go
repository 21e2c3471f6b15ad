package span

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// Names of what is summed up, as they stand in metadata; each is a column.
var (
	TokenNames = tokenNames[:]
	CostNames  = []string{"input_cost", "output_cost", "total_cost"}
)

// required are the names that a sum always has: the others only if a span has them.
const required = 3

// Node is a span in the tree over which usage and cost are summed up.
type Node struct {
	ID, Parent  string
	Usage, Cost Amounts
}

// Amounts are numbers by name; nil says that a span has none.
type Amounts map[string]float64

// Amounts reads the value of an attribute: an object with numbers.
func amountsOf(text string, names []string) Amounts {
	if text == "" {
		return nil
	}
	var all map[string]any
	if json.Unmarshal([]byte(text), &all) != nil || all == nil {
		return nil
	}
	out := Amounts{}
	for _, n := range names {
		if v, ok := all[n].(float64); ok && !math.IsInf(v, 0) {
			out[n] = v
		}
	}
	return out
}

// Usage is how many tokens the span says it took.
func (s *Span) Usage() Amounts { return amountsOf(s.Attributes[attrUsage], TokenNames) }

// Cost is what the span says it cost.
func (s *Span) Cost() Amounts { return amountsOf(s.Attributes[attrCost], CostNames) }

// Node is the span's place in the tree.
func (s *Span) Node() Node { return Node{s.ID, s.Parent, s.Usage(), s.Cost()} }

// Tokens reads token counts from metadata.
func Tokens(text string) Amounts { return amountsOf(text, TokenNames) }

// Costs reads costs from metadata.
func Costs(text string) Amounts { return amountsOf(text, CostNames) }

// Totals sums up a tree. A span that has an amount speaks for everything below
// it: agents sum up what their calls took.
func Totals(nodes []Node) (usage, cost Amounts) {
	usage = total(nodes, TokenNames, func(n Node) Amounts { return n.Usage })
	cost = total(nodes, CostNames, func(n Node) Amounts { return n.Cost })
	return usage, cost
}

func total(nodes []Node, names []string, of func(Node) Amounts) Amounts {
	known := make(map[string]bool, len(nodes))
	for _, n := range nodes {
		known[n.ID] = true
	}
	children := map[string][]int{}
	var open []int // each is a span without a summing span above it
	for i, n := range nodes {
		if n.Parent != "" && known[n.Parent] && n.Parent != n.ID {
			children[n.Parent] = append(children[n.Parent], i)
		} else {
			open = append(open, i)
		}
	}
	var sum Amounts
	for len(open) > 0 {
		n := nodes[open[len(open)-1]]
		open = open[:len(open)-1]
		amounts := of(n)
		if amounts == nil {
			open = append(open, children[n.ID]...)
			delete(children, n.ID) // a span that came twice is counted once
			continue
		}
		if sum == nil {
			sum = Amounts{}
			for _, name := range names[:required] {
				sum[name] = 0
			}
		}
		for name, v := range amounts {
			sum[name] += v
		}
	}
	return sum
}

// Summary is what the spans of one trace in one request say about it.
type Summary struct {
	Start, End    int64 // milliseconds; End is 0 if no span has ended
	State         string
	Session, User string
	// Request and Response are the beginnings of the root's inputs and outputs.
	Request, Response string
	// Tags the sender gave the trace, and those made of its resource.
	Tags, ResourceTags map[string]string
}

const (
	milli = 1_000_000
	// maxSession bounds the id of a session.
	maxSession = 250
)

// Summarise reads the spans of one trace.
func Summarise(list []Span) (out Summary) {
	out.Tags, out.ResourceTags = map[string]string{}, map[string]string{}
	out.Start = math.MaxInt64
	for i := range list {
		s := &list[i]
		out.Start, out.End = min(out.Start, s.Start/milli), max(out.End, s.End/milli)
		if out.Session == "" {
			if out.Session = s.text(attrSession); out.Session == "" {
				out.Session = s.text(attrConversation)
			}
			out.Session = model.Cut(out.Session, maxSession)
		}
		if out.User == "" {
			out.User = s.text(attrUser)
		}
		if len(out.ResourceTags) == 0 {
			resourceTags(s.Resource, out.ResourceTags)
		}
		if s.Parent == "" {
			out.root(s)
		}
	}
	return out
}

func (o *Summary) root(s *Span) {
	if o.State == "" {
		o.State = OK
		if s.Status == Error {
			o.State = Error
		}
	}
	o.Request, o.Response = preview(s.Attributes[attrInputs], "user"), preview(s.Attributes[attrOutputs], "assistant")
	for _, k := range slices.Sorted(maps.Keys(s.Attributes)) {
		if key, ok := strings.CutPrefix(k, attrTagPrefix); ok {
			tag := []model.Pair{{Key: key, Value: s.text(k)}}
			if model.CheckTags("tags", tag) == nil { // a tag that cannot be does not cost the span
				o.Tags[key] = tag[0].Value
			}
		}
	}
}

// resourceTags are the attributes of a resource that say something to people.
// Names of ours stay ours.
func resourceTags(resource, tags map[string]string) {
	for k, v := range resource {
		tag := []model.Pair{{Key: k, Value: v}}
		if !strings.HasPrefix(k, "telemetry.sdk.") && !strings.HasPrefix(k, "mlflow.") && model.CheckTags("tags", tag) == nil {
			tags[k] = tag[0].Value
		}
	}
}

// maxPreview bounds a preview, in characters.
const maxPreview = 1000

// preview is the beginning of inputs or outputs; of a conversation, the text
// of the last message of a role.
func preview(text, role string) string {
	if strings.HasPrefix(text, "{") {
		var v map[string]any
		if json.Unmarshal([]byte(text), &v) == nil {
			if t := lastMessage(messages(v), role); t != "" {
				text = t
			}
		}
	}
	if short := model.Cut(text, maxPreview); len(short) < len(text) {
		return model.Cut(text, maxPreview-len("...")) + "..."
	}
	return text
}

// messages finds the conversation in what a language model was asked or answered.
func messages(v map[string]any) []map[string]any {
	var list []any
	if choices, ok := v["choices"].([]any); ok && len(choices) > 0 {
		if c, ok := choices[0].(map[string]any); ok {
			list = append(list, c["message"])
		}
	}
	for _, key := range []string{"messages", "input", "output"} {
		if l, ok := v[key].([]any); ok && len(l) > 0 && (len(list) == 0 || key == "messages") {
			list = l
			break
		}
	}
	if inner, ok := v["request"].(map[string]any); ok && len(list) == 0 {
		return messages(inner)
	}
	var out []map[string]any
	for _, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			continue
		}
		_, hasRole := m["role"]
		if _, hasContent := m["content"]; hasRole && hasContent {
			out = append(out, m)
		}
	}
	return out
}

func lastMessage(list []map[string]any, role string) string {
	if len(list) == 0 {
		return ""
	}
	found := list[len(list)-1]
	for _, m := range slices.Backward(list) {
		if m["role"] == role {
			found = m
			break
		}
	}
	switch c := found["content"].(type) {
	case string:
		return c
	case []any:
		for _, part := range c {
			if s, ok := part.(string); ok {
				return s
			}
			if p, ok := part.(map[string]any); ok && (p["type"] == "text" || p["type"] == "output_text") {
				t, _ := p["text"].(string)
				return t
			}
		}
	}
	return ""
}

// Number writes a number as it stands in metadata.
func Number(v float64) string { return string(mlwire.AppendFloat(nil, v)) }
