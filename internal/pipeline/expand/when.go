package expand

import (
	"fmt"

	"github.com/casbin/govaluate"
)

// When evaluates a condition whose tags are replaced already. Words that are
// not quoted are strings, so that `heads == heads` means what it says.
func When(condition string) (run bool, err error) {
	if condition == "" {
		return true, nil
	}
	if len(condition) > maxExpression {
		return false, fmt.Errorf("the condition is longer than %d bytes", maxExpression)
	}
	// The evaluator panics on some malformed input (an operator without an operand inside a list, say).
	defer func() {
		if p := recover(); p != nil {
			run, err = false, fmt.Errorf("invalid 'when' expression '%s': %v", condition, p)
		}
	}()
	parsed, err := govaluate.NewEvaluableExpression(condition)
	if err != nil {
		return false, fmt.Errorf("invalid 'when' expression '%s': %w", condition, err)
	}
	tokens := parsed.Tokens()
	for i, t := range tokens {
		if t.Kind == govaluate.VARIABLE {
			tokens[i].Kind = govaluate.STRING
		}
	}
	again, err := govaluate.NewEvaluableExpressionFromTokens(tokens)
	if err != nil {
		return false, fmt.Errorf("failed to parse 'when' expression '%s': %w", condition, err)
	}
	v, err := again.Evaluate(nil)
	if err != nil {
		return false, fmt.Errorf("failed to evaluate 'when' expression '%s': %w", condition, err)
	}
	b, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("expected boolean evaluation for '%s'. Got %v", condition, v)
	}
	return b, nil
}
