package lint

import (
	"errors"
	"slices"

	"github.com/kiwerk/kiwerk/internal/manifest"
)

// maxRounds bounds how often corrections are followed by others that they make possible.
const maxRounds = 8

// Fixed is a file after its corrections.
type Fixed struct {
	Name   string
	Before []byte
	After  []byte
	// Corrected counts the findings.
	Corrected int
}

// Fix corrects what can be corrected in all files and returns those that changed.
// A document that cannot be changed is named by the error; the others are corrected.
func Fix(texts map[string][]byte, o Options) (changed []Fixed, err error) {
	names := sortedKeys(texts)
	now := map[string][]byte{}
	counts := map[string]int{}
	for _, n := range names {
		now[n] = texts[n]
	}
	for range maxRounds {
		var files []*manifest.File
		for _, n := range names {
			files = append(files, manifest.Parse(n, now[n]))
		}
		found := Check(files, o)
		progress := false
		for _, f := range files {
			text, n, fault := fixFile(f, found)
			err = errors.Join(err, fault)
			if n > 0 && string(text) != string(now[f.Name]) {
				now[f.Name], progress = text, true
				counts[f.Name] += n
			}
		}
		if !progress || err != nil {
			break
		}
	}
	for _, n := range names {
		if counts[n] > 0 {
			changed = append(changed, Fixed{Name: n, Before: texts[n], After: now[n], Corrected: counts[n]})
		}
	}
	return changed, err
}

// fixFile applies the edits to one file, document by document.
func fixFile(f *manifest.File, findings []Finding) (text []byte, corrected int, err error) {
	for i := range f.Documents {
		doc := f.Documents[i]
		var edits []manifest.Edit
		n := 0
		for _, found := range findings {
			if found.doc != nil && found.File == f.Name && found.doc.Index == doc.Index && len(found.edits) > 0 && !clash(edits, found.edits) {
				edits = append(edits, found.edits...)
				n++
			}
		}
		if n == 0 {
			continue
		}
		out, fault := f.Apply(doc, edits)
		if fault != nil {
			err = errors.Join(err, fault)
			continue
		}
		text, corrected = out, corrected+n
		f = manifest.Parse(f.Name, out)
		if i >= len(f.Documents) {
			break
		}
	}
	return text, corrected, err
}

// clash tells whether two findings want to change the same place; the second waits for the next round.
func clash(have, more []manifest.Edit) bool {
	return slices.ContainsFunc(more, func(m manifest.Edit) bool {
		return slices.ContainsFunc(have, func(h manifest.Edit) bool {
			return h.Append == nil && m.Append == nil && h.Path.String() == m.Path.String()
		})
	})
}
