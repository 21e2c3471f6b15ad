package v1alpha1

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// AnyString is a string that a manifest may also write as a number or a boolean.
type AnyString string

// UnmarshalJSON takes any scalar.
func (s *AnyString) UnmarshalJSON(data []byte) error {
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return fmt.Errorf("empty value")
	}
	switch data[0] {
	case '"':
		return json.Unmarshal(data, (*string)(s))
	case '{', '[':
		return fmt.Errorf("expected a string, a number or a boolean, got %s", kindOf(data[0]))
	case 'n':
		*s = ""
	default:
		*s = AnyString(data)
	}
	return nil
}

// Any makes a pointer, as most fields of this type are.
func Any(s string) *AnyString {
	a := AnyString(s)
	return &a
}

// String is the text; a nil pointer is empty.
func (s *AnyString) String() string {
	if s == nil {
		return ""
	}
	return string(*s)
}

func kindOf(first byte) string {
	if first == '[' {
		return "a list"
	}
	return "an object"
}

// Item is one value of a loop: a scalar, a list or an object.
type Item struct {
	Raw json.RawMessage `json:"-"`
}

// UnmarshalJSON keeps the value as it is.
func (i *Item) UnmarshalJSON(data []byte) error {
	i.Raw = append(i.Raw[:0], data...)
	return nil
}

// MarshalJSON gives it back.
func (i Item) MarshalJSON() ([]byte, error) {
	if len(i.Raw) == 0 {
		return []byte("null"), nil
	}
	return i.Raw, nil
}

// Text is the value as templates see it: strings without quotes, all else as JSON.
func (i Item) Text() string {
	var s string
	if json.Unmarshal(i.Raw, &s) == nil && len(i.Raw) > 0 && i.Raw[0] == '"' {
		return s
	}
	return string(i.Raw)
}

// ParallelSteps is a group of steps that run side by side; a manifest may
// write a single step without the list.
type ParallelSteps struct {
	Steps []WorkflowStep `json:"-"`
}

// UnmarshalJSON takes a list or one step.
func (p *ParallelSteps) UnmarshalJSON(data []byte) error {
	data = bytes.TrimSpace(data)
	if len(data) > 0 && data[0] == '{' {
		p.Steps = make([]WorkflowStep, 1)
		return json.Unmarshal(data, &p.Steps[0])
	}
	return json.Unmarshal(data, &p.Steps)
}

// MarshalJSON writes a list.
func (p ParallelSteps) MarshalJSON() ([]byte, error) { return json.Marshal(p.Steps) }
