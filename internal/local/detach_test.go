//go:build linux

package local

import (
	"reflect"
	"slices"
	"testing"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/text"
)

// What was said to kiwerk up --detach, the launcher that stays is told as well.
func TestDetachedArgs_carryEveryOption(t *testing.T) {
	var o cli.UpOptions
	v := reflect.ValueOf(&o).Elem()
	for i := range v.NumField() {
		if v.Field(i).Kind() != reflect.String {
			continue
		}
		name := v.Type().Field(i).Name
		v.Field(i).SetString("value of " + name)
		if args := detachedArgs(cli.Session{Text: text.For("en")}, o); !slices.Contains(args, "value of "+name) {
			t.Errorf("%s is lost: %q", name, args)
		}
	}
}
