package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/kiwerk/kiwerk/internal/text"
)

// Tabler is data that people read; the wire form is its JSON.
type Tabler interface {
	Table(w io.Writer, p *text.Printer)
}

var formats = []string{"table", "json", "yaml"}

// printsData gives a command the -o flag; the first of its own formats, if it has some, is what it prints without.
func (t *tree) printsData(c *cobra.Command, own ...string) {
	allowed, help := own, strings.Join(own, ", ")
	if len(own) == 0 {
		allowed, help = formats, t.T(text.FlagOutput)
	}
	output := c.Flags().StringP("output", "o", allowed[0], help)
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(allowed, cobra.ShellCompDirectiveNoFileComp)) // fails only for a flag that is not there
	pre := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		t.output = *output
		if !slices.Contains(allowed, t.output) {
			return &Failure{Code: ExitUsage, What: text.S(text.UsageOutput, t.output, strings.Join(allowed, ", ")), Try: text.S(text.Verbatim, c.CommandPath()+" -o json")}
		}
		if pre != nil {
			return pre(c, args)
		}
		return nil
	}
}

func (t *tree) print(v Tabler) error {
	switch t.output {
	case "json":
		enc := json.NewEncoder(t.program.Out)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	case "yaml":
		return writeYAML(t.program.Out, v)
	}
	v.Table(t.program.Out, t.session.Text)
	return nil
}

// writeYAML goes through JSON, so that both have the same names.
func writeYAML(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var node yaml.Node
	if err := yaml.Unmarshal(b, &node); err != nil {
		return err
	}
	blockStyle(&node)
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(&node); err != nil {
		return err
	}
	return enc.Close()
}

// blockStyle drops the flow style and quotes that came with JSON; the encoder quotes again where it must.
func blockStyle(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		blockStyle(c)
	}
}

// columns writes rows aligned, without trailing blanks.
func columns(w io.Writer, rows [][]string) {
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(tw, "\t")
			}
			fmt.Fprint(tw, oneLine(cell))
		}
		fmt.Fprintln(tw)
	}
	_ = tw.Flush() // the writer behind it reports its own errors
}

// oneLine keeps a cell in its column: what people gave may have line breaks and
// tabs in it, or letters that a terminal takes for commands.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r):
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
