package jsonfields_test

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/jsonfields"
)

type inner struct {
	Name  string `json:"name"`
	Count int    `json:"count,omitempty"`
}

type outer struct {
	*inner `json:",inline"`
	Name   bool   `json:"name,omitzero"` // hides that of inner
	Left   string `json:"-"`
	Plain  string
}

func TestOf(t *testing.T) {
	always := map[string]bool{}
	for name, f := range jsonfields.Of(reflect.TypeFor[outer]()) {
		always[name] = f.Always
	}
	if diff := cmp.Diff(map[string]bool{"name": false, "count": false}, always); diff != "" {
		t.Error(diff)
	}
	if got := jsonfields.Of(reflect.TypeFor[outer]())["name"].Type.Kind(); got != reflect.Bool {
		t.Errorf("name is a %v", got)
	}
}
