package mcp

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

const (
	maxVersion = 128
	maxNumber  = 1<<31 - 1
)

// semver is a version number in a form that databases order.
type semver struct {
	major, minor, patch int64
	// pre orders pre-releases byte by byte; a release is behind all of them.
	pre string
}

var (
	numericID   = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)
	otherID     = regexp.MustCompile(`^[0-9]*[A-Za-z-][0-9A-Za-z-]*$`)
	buildID     = regexp.MustCompile(`^[0-9A-Za-z-]+$`)
	semverParts = regexp.MustCompile(`^([0-9]+)\.([0-9]+)\.([0-9]+)(-[^+]*)?(\+.*)?$`)
)

// parseSemver reads a semantic version 2.0.0; field names it in errors.
func parseSemver(field, text string) (v semver, err error) {
	bad := model.Invalid("Invalid semantic version for %s: '%s'", field, model.Cut(text, 100))
	m := semverParts.FindStringSubmatch(text)
	if len(text) > maxVersion {
		return v, model.Invalid("Invalid semantic version for %s: '%s' (maximum length is %d characters)", field, model.Cut(text, 100), maxVersion)
	}
	if m == nil {
		return v, bad
	}
	for i, to := range []*int64{&v.major, &v.minor, &v.patch} {
		if !numericID.MatchString(m[i+1]) {
			return v, bad
		}
		if *to, err = strconv.ParseInt(m[i+1], 10, 64); err != nil || *to > maxNumber {
			return v, model.Invalid("Invalid semantic version for %s: '%s' (its numbers must be <= %d)", field, model.Cut(text, 100), maxNumber)
		}
	}
	if m[5] != "" && !every(m[5][1:], buildID) {
		return v, bad
	}
	if m[4] == "" {
		v.pre = released
		return v, nil
	}
	if !every(m[4][1:], numericID, otherID) {
		return v, bad
	}
	v.pre = orderOf(m[4][1:])
	return v, nil
}

func every(dotted string, forms ...*regexp.Regexp) bool {
	for id := range strings.SplitSeq(dotted, ".") {
		fits := false
		for _, f := range forms {
			fits = fits || f.MatchString(id)
		}
		if !fits {
			return false
		}
	}
	return true
}

// released is behind every pre-release: no identifier has a tilde.
const released = "~"

// orderOf writes identifiers so that their bytes compare as the identifiers
// do: numbers, by their value, come before words, and the one with more
// identifiers comes last. A blank is less than all that a word may hold.
func orderOf(dotted string) string {
	var b strings.Builder
	for id := range strings.SplitSeq(dotted, ".") {
		if numericID.MatchString(id) {
			fmt.Fprintf(&b, "0%03d%s", len(id), id)
		} else {
			b.WriteString("1" + id + " ")
		}
	}
	return b.String()
}
