package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ErrNoAnswer means that an output holds nothing that a label can be compared with.
var ErrNoAnswer = errors.New("no answer to compare with a label")

// Correct tells whether a row's output says what the label says. Of an object
// the member that carries the label counts; of a list of numbers the position
// of the largest.
func Correct(output, label json.RawMessage) (bool, error) {
	want, err := scalar(label)
	if err != nil {
		return false, fmt.Errorf("label %.80s: %w", label, err)
	}
	got, err := Answer(output)
	if err != nil {
		return false, err
	}
	return got == want, nil
}

// Answer finds the label in a row's output and writes it in the form in which
// labels are compared: numbers without trailing zeros.
func Answer(output json.RawMessage) (string, error) {
	var v any
	dec := json.NewDecoder(bytes.NewReader(output))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return "", fmt.Errorf("output is not valid JSON: %w", err)
	}
	return answer(v)
}

func answer(v any) (string, error) {
	switch v := v.(type) {
	case map[string]any:
		return answerOfObject(v)
	case []any:
		return answerOfList(v)
	default:
		return text(v)
	}
}

// answerOfObject prefers the member named like a label; probabilities beside it do not count.
func answerOfObject(o map[string]any) (string, error) {
	keys := make([]string, 0, len(o))
	for k := range o {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, suffix := range []string{"label", "class", "prediction"} {
		for _, k := range keys {
			if strings.HasSuffix(strings.ToLower(k), suffix) {
				return answer(o[k])
			}
		}
	}
	if len(keys) == 1 {
		return answer(o[keys[0]])
	}
	return "", fmt.Errorf("%w: the output has the members %s; name the one with the answer label", ErrNoAnswer, strings.Join(keys, ", "))
}

func answerOfList(l []any) (string, error) {
	if len(l) == 1 {
		return answer(l[0])
	}
	best, largest := -1, 0.0
	for i, e := range l {
		n, ok := e.(json.Number)
		if !ok {
			return "", fmt.Errorf("%w: the output is a list that holds more than numbers", ErrNoAnswer)
		}
		f, err := n.Float64()
		if err != nil {
			return "", fmt.Errorf("%w: %s is out of range", ErrNoAnswer, n)
		}
		if best < 0 || f > largest {
			best, largest = i, f
		}
	}
	if best < 0 {
		return "", fmt.Errorf("%w: the output is an empty list", ErrNoAnswer)
	}
	return strconv.Itoa(best), nil
}

func scalar(raw json.RawMessage) (string, error) {
	var v any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return "", fmt.Errorf("not valid JSON: %w", err)
	}
	if dec.More() {
		return "", errors.New("more than one JSON value")
	}
	return text(v)
}

func text(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return normal(v), nil
	case bool:
		return strconv.FormatBool(v), nil
	case json.Number:
		return normal(v.String()), nil
	default:
		return "", fmt.Errorf("%w: a number, a string or a truth value is needed", ErrNoAnswer)
	}
}

// normal makes 7, 7.0 and "7" the same; clients and model formats differ in it.
func normal(s string) string {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return strconv.FormatInt(i, 10)
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return s
}
