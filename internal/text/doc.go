// Package text is what people read, in German and English.
//
// There is one catalogue: a key has an entry in each language, checked by a
// test for missing entries and for verbs that differ. [For] gives a [Printer]
// of a language; [Detect] finds the language from a flag or the environment.
// Words in braces, "%d {run|runs}", go by the number before them.
// Keys in JSON, reasons of conditions and log messages are never translated.
package text
