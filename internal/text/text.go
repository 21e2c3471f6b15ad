package text

import (
	"fmt"
	"io"
	"strings"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/message/catalog"
)

// Key names a sentence of the catalogue.
type Key string

var tags = map[string]language.Tag{"en": language.English, "de": language.German}

// Languages are the codes that For accepts.
var Languages = []string{"de", "en"}

// Printer formats sentences of one language; numbers follow its conventions.
type Printer struct {
	p    *message.Printer
	lang string
	// dataDir is the flag that suggested commands need, with a blank before it.
	dataDir string
	// counted are the sentences with words that depend on a number.
	counted map[Key]string
}

// For gives the printer of "de" or "en"; anything else is English.
func For(lang string) *Printer {
	if _, ok := tags[lang]; !ok {
		lang = "en"
	}
	return newPrinter(lang, "")
}

func newPrinter(lang, dataDir string) *Printer {
	p := &Printer{lang: lang, dataDir: dataDir, counted: map[Key]string{}}
	p.p = message.NewPrinter(tags[lang], message.Catalog(p.build()))
	return p
}

// Lang is the code of the printer's language.
func (p *Printer) Lang() string { return p.lang }

// T formats the sentence of key.
func (p *Printer) T(key Key, args ...any) string {
	if format, ok := p.counted[key]; ok {
		return p.p.Sprintf(choose(format, args), args...) // no key: it stands for itself
	}
	return p.p.Sprintf(string(key), args...)
}

// Bytes is a size as people read it.
func (p *Printer) Bytes(n int64) string {
	const kilo = 1000
	v, unit := float64(n), "B"
	for _, next := range []string{"kB", "MB", "GB", "TB"} {
		if v < kilo {
			break
		}
		v, unit = v/kilo, next
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return p.p.Sprintf("%.1f %s", v, unit)
}

// Fprintln writes the sentence of key and a line end.
func (p *Printer) Fprintln(w io.Writer, key Key, args ...any) error {
	_, err := fmt.Fprintln(w, p.T(key, args...))
	return err
}

// Detect picks the language: the flag if given, else the environment's locale.
func Detect(flag string, getenv func(string) string) string {
	for _, v := range []string{flag, getenv("KIWERK_LANG"), getenv("LC_ALL"), getenv("LC_MESSAGES"), getenv("LANG")} {
		if v == "" {
			continue
		}
		if strings.HasPrefix(strings.ToLower(v), "de") {
			return "de"
		}
		return "en"
	}
	return "en"
}

func (p *Printer) build() catalog.Catalog {
	escaped := &Printer{dataDir: strings.ReplaceAll(p.dataDir, "%", "%%")}
	b := catalog.NewBuilder(catalog.Fallback(language.English))
	for lang, entries := range catalogue() {
		for key, format := range entries {
			format = escaped.Command(format)
			if lang == p.lang && counts(format) {
				p.counted[key] = format
			}
			if err := b.SetString(tags[lang], string(key), format); err != nil {
				panic("text: " + string(key) + ": " + err.Error()) //nolint:forbidigo // A wrong entry is a programming error and a test finds it.
			}
		}
	}
	return b
}

// entry is a sentence in both languages.
type entry struct{ en, de string }

func catalogue() map[string]map[Key]string {
	m := map[string]map[Key]string{"en": {}, "de": {}}
	for _, part := range []map[Key]entry{upTexts, commandTexts, demoTexts, gpuTexts, nodeTexts, lintTexts, imageTexts, helpTexts, pipelineTexts, trackingTexts, trackingMoveTexts, runsTexts} {
		for k, e := range part {
			m["en"][k], m["de"][k] = e.en, e.de
		}
	}
	for reason, e := range retrainReasons {
		m["en"][RetrainReason(reason)], m["de"][RetrainReason(reason)] = e.en, e.de
	}
	return m
}

// Sentence is a key with its arguments, formatted when the language is known.
type Sentence struct {
	Key  Key
	Args []any
}

// S makes a sentence.
func S(key Key, args ...any) Sentence { return Sentence{Key: key, Args: args} }

// In is the sentence in a printer's language, empty for the zero value.
func (s Sentence) In(p *Printer) string {
	if s.Key == "" {
		return ""
	}
	return p.T(s.Key, s.Args...)
}
