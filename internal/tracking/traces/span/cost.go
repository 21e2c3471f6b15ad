package span

import (
	"encoding/json"
	"slices"
)

// Names of token counts that have prices of their own.
const (
	tokensInput      = "input_tokens"
	tokensOutput     = "output_tokens"
	tokensCacheRead  = "cache_read_input_tokens"
	tokensCacheWrite = "cache_creation_input_tokens"
	tokensCacheHour  = "cache_creation_input_tokens_above_1hr"
)

// Pricing tells what the tokens of a model cost.
type Pricing func(model, provider string, input, output, cacheRead, cacheWrite, cacheWriteHour float64) (in, out float64, ok bool)

// SetCost notes what a span has cost, unless it says so itself.
func (s *Span) SetCost(of Pricing) {
	if _, said := s.Attributes[attrCost]; said {
		return
	}
	n := amountsOf(s.Attributes[attrUsage], append(slices.Clone(TokenNames), tokensCacheHour))
	name := s.Model()
	if n == nil || name == "" {
		return
	}
	in, out, ok := of(name, s.Provider(), n[tokensInput], n[tokensOutput], n[tokensCacheRead], n[tokensCacheWrite], n[tokensCacheHour])
	if !ok {
		return
	}
	b, err := json.Marshal(map[string]float64{CostNames[0]: in, CostNames[1]: out, CostNames[2]: in + out})
	if err == nil { // no price is infinite
		s.Attributes[attrCost] = string(b)
	}
}
