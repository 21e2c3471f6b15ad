package span

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// convention is how others name what MLflow has names for.
type convention struct {
	kind  string // the attribute with the type of the span
	types map[string]string
	// Token counts: input, output, total, read from a cache, written to one.
	tokens          [5][]string
	inputs, outputs []string
	// Numbered attributes, of which the first counts.
	inputPattern, outputPattern *regexp.Regexp
	models                      []string
	provider                    string
	tools                       []string
}

const attrTools = "mlflow.chat.tools"

// conventions in the order in which they are asked.
var conventions = []convention{
	{ // OpenInference
		kind: "openinference.span.kind",
		types: map[string]string{
			"TOOL": "TOOL", "CHAIN": "CHAIN", "LLM": "LLM", "RETRIEVER": "RETRIEVER", "EMBEDDING": "EMBEDDING", "AGENT": "AGENT",
			"RERANKER": "RERANKER", "GUARDRAIL": "GUARDRAIL", "EVALUATOR": "EVALUATOR",
		},
		tokens: [5][]string{
			{"llm.token_count.prompt"},
			{"llm.token_count.completion"},
			{"llm.token_count.total"},
			{"llm.token_count.prompt_details.cache_read"},
			{"llm.token_count.prompt_details.cache_write"},
		},
		inputs: []string{"input.value"}, outputs: []string{"output.value"},
		models:   []string{"llm.response.model_name", "llm.model_name", "llm.request.model_name", "embedding.model_name"},
		provider: "llm.provider",
	},
	{ // OpenTelemetry GenAI
		kind: "gen_ai.operation.name",
		types: map[string]string{
			"chat": "CHAT_MODEL", "create_agent": "AGENT", "embeddings": "EMBEDDING", "execute_tool": "TOOL", "generate_content": "LLM",
			"invoke_agent": "AGENT", "text_completion": "LLM", "response": "LLM",
		},
		tokens: [5][]string{
			{"gen_ai.usage.input_tokens"},
			{"gen_ai.usage.output_tokens"},
			nil,
			{"gen_ai.usage.cache_read.input_tokens"},
			{"gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens"},
		},
		inputs:   []string{"gen_ai.input.messages", "gen_ai.tool.call.arguments"},
		outputs:  []string{"gen_ai.output.messages", "gen_ai.tool.call.result"},
		models:   []string{"gen_ai.response.model", "gen_ai.request.model"},
		provider: "gen_ai.provider.name",
		tools:    []string{"gen_ai.tool.definitions"},
	},
	{ // Traceloop
		kind:          "traceloop.span.kind",
		types:         map[string]string{"workflow": "WORKFLOW", "task": "TASK", "agent": "AGENT", "tool": "TOOL"},
		tokens:        [5][]string{{"gen_ai.usage.prompt_tokens"}, {"gen_ai.usage.completion_tokens"}, {"llm.usage.total_tokens"}, nil, nil},
		inputs:        []string{"traceloop.entity.input"},
		outputs:       []string{"traceloop.entity.output"},
		inputPattern:  regexp.MustCompile(`^gen_ai\.prompt\.\d+\.content$`),
		outputPattern: regexp.MustCompile(`^gen_ai\.completion\.\d+\.content$`),
		provider:      "gen_ai.system",
	},
}

// translate gives a span the attributes of MLflow that others named otherwise.
// What the sender named in MLflow's way stays.
func translate(s *Span) {
	if t := s.Type(); t == unknownType {
		for _, c := range conventions {
			if t := c.types[s.text(c.kind)]; t != "" {
				s.Attributes[attrType] = quoted(t)
				break
			}
		}
	}
	s.fill(attrInputs, func(c convention) string { return s.numbered(c.inputs, c.inputPattern) })
	s.fill(attrOutputs, func(c convention) string { return s.numbered(c.outputs, c.outputPattern) })
	s.fill(attrUsage, func(c convention) string { return s.usage(c) })
	s.fill(attrTools, func(c convention) string { return s.first(c.tools) })
	s.fill(attrModel, func(c convention) string { return s.first(c.models) })
	if s.Attributes[attrModel] == "" {
		for _, from := range []string{attrInputs, attrOutputs} {
			if m := modelField(s.Attributes[from]); m != "" {
				s.Attributes[attrModel] = quoted(m)
				break
			}
		}
	}
	s.fill(attrProvider, func(c convention) string { return s.first([]string{c.provider}) })
}

func (s *Span) fill(key string, find func(convention) string) {
	if _, ok := s.Attributes[key]; ok {
		return
	}
	for _, c := range conventions {
		if v := find(c); v != "" {
			s.Attributes[key] = v
			return
		}
	}
}

// first value among keys that says something.
func (s *Span) first(keys []string) string {
	for _, k := range keys {
		switch v := s.Attributes[k]; v {
		case "", `""`, "null", "{}", "[]", "false", "0":
		default:
			return v
		}
	}
	return ""
}

// numbered is first, then the lowest of keys such as gen_ai.prompt.0.content.
func (s *Span) numbered(keys []string, pattern *regexp.Regexp) string {
	if v := s.first(keys); v != "" || pattern == nil {
		return v
	}
	var found []string
	for k := range s.Attributes {
		if pattern.MatchString(k) {
			found = append(found, k)
		}
	}
	slices.Sort(found)
	return s.first(found)
}

// Names of token counts, in the order of convention.tokens.
var tokenNames = [5]string{"input_tokens", "output_tokens", "total_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"}

func (s *Span) usage(c convention) string {
	var counts [5]*int64
	for i, keys := range c.tokens {
		counts[i] = s.count(keys)
	}
	in, out := counts[0], counts[1]
	if counts[2] == nil && in != nil && out != nil {
		total := *in + *out
		counts[2] = &total
	}
	if in == nil && out == nil && counts[2] == nil {
		return ""
	}
	var parts []string
	for i, n := range counts {
		if n != nil {
			parts = append(parts, `"`+tokenNames[i]+`": `+strconv.FormatInt(*n, 10))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// count reads 26 and "26".
func (s *Span) count(keys []string) *int64 {
	for _, k := range keys {
		if n, err := strconv.ParseInt(s.text(k), 10, 64); err == nil {
			return &n
		}
	}
	return nil
}

// modelField is the model that a request to a language model, or its answer, names.
func modelField(text string) string {
	if !strings.HasPrefix(text, "{") || !strings.Contains(text, `"model"`) {
		return ""
	}
	var v struct {
		Model json.RawMessage `json:"model"`
	}
	if json.Unmarshal([]byte(text), &v) != nil || !strings.HasPrefix(string(v.Model), `"`) {
		return ""
	}
	return Plain(string(v.Model))
}
