package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/kiwerk/kiwerk/internal/text"
)

// Levels of a finding.
const (
	LevelOK      = "ok"
	LevelNote    = "note"
	LevelProblem = "problem"
)

// Finding is one thing that doctor looked at.
type Finding struct {
	Name    string        `json:"name"`
	Level   string        `json:"level"`
	Message text.Sentence `json:"-"`
	Text    string        `json:"text"`
	// Try is a command or advice, in the user's language.
	TryMessage text.Sentence `json:"-"`
	Try        string        `json:"try,omitempty"`
}

// Diagnosis is what kiwerk doctor prints.
type Diagnosis struct {
	Findings []Finding `json:"findings"`
}

// Problems counts what keeps the platform from working.
func (d *Diagnosis) Problems() int {
	n := 0
	for _, f := range d.Findings {
		if f.Level == LevelProblem {
			n++
		}
	}
	return n
}

func (t *tree) doctor() *cobra.Command {
	c := &cobra.Command{
		Use: "doctor", Short: t.T(text.DoctorShort), Args: t.noArguments,
		Example: "  kiwerk doctor\n  kiwerk doctor -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := t.program.Doctor(c.Context(), t.session)
			if err != nil {
				return err
			}
			for i := range d.Findings {
				d.Findings[i].Text = d.Findings[i].Message.In(t.session.Text)
				d.Findings[i].Try = t.session.Text.Command(d.Findings[i].TryMessage.In(t.session.Text))
			}
			if err := t.print(d); err != nil {
				return err
			}
			if d.Problems() > 0 {
				return Exit(ExitFailed)
			}
			return nil
		},
	}
	t.printsData(c)
	return c
}

var marks = map[string]string{LevelOK: "✓", LevelNote: "!", LevelProblem: "✗"}

// Table prints a mark, the name and the sentence of each finding.
func (d *Diagnosis) Table(w io.Writer, p *text.Printer) {
	for _, f := range d.Findings {
		fmt.Fprintf(w, "%s %-12s %s\n", marks[f.Level], p.Label(f.Name), f.Text)
		if f.Try != "" {
			fmt.Fprintf(w, "  %-12s %s: %s\n", "", p.T(text.CommandTry), f.Try)
		}
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
