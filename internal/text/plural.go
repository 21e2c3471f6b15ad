package text

import (
	"reflect"
	"regexp"
	"strconv"
)

// verbOrGroup finds what takes arguments, and the words that depend on a
// number: in "%d {run is|runs are} marked" the %d before them chooses.
var verbOrGroup = regexp.MustCompile(`%(?:\[(\d+)\])?[-+# 0]*\d*(?:\.\d+)?([a-zA-Z%])|\{([^{}|]*)\|([^{}|]*)\}`)

// counts tells whether words of a sentence depend on a number.
func counts(format string) bool {
	for _, m := range verbOrGroup.FindAllStringSubmatch(format, -1) {
		if m[0][0] == '{' {
			return true
		}
	}
	return false
}

// choose puts the words in that fit the arguments. Both languages have two forms: for one, and for all else.
func choose(format string, args []any) string {
	argument, one := 0, false
	return verbOrGroup.ReplaceAllStringFunc(format, func(found string) string {
		m := verbOrGroup.FindStringSubmatch(found)
		switch {
		case found[0] == '{' && one:
			return m[3]
		case found[0] == '{':
			return m[4]
		case m[2] == "%":
			return found
		case m[1] != "":
			argument, _ = strconv.Atoi(m[1]) // digits, as the expression says
		default:
			argument++
		}
		if m[2] == "d" && argument >= 1 && argument <= len(args) {
			v := reflect.ValueOf(args[argument-1])
			one = v.CanInt() && v.Int() == 1 || v.CanUint() && v.Uint() == 1
		}
		return found
	})
}
