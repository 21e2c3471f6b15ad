package cli

import (
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/kiwerk/kiwerk/internal/buildinfo"
	"github.com/kiwerk/kiwerk/internal/text"
)

func (t *tree) version() *cobra.Command {
	c := &cobra.Command{
		Use: "version", Short: t.T(text.VersionShort), Args: t.noArguments,
		Example: "  kiwerk version\n  kiwerk version -o json",
		RunE:    func(*cobra.Command, []string) error { return t.print(versions(buildinfo.Get())) },
	}
	t.printsData(c)
	return c
}

type versions buildinfo.Info

// Table prints the parts in a stable order.
func (v versions) Table(w io.Writer, p *text.Printer) {
	rows := [][]string{{p.Label("kiwerk"), v.Version}, {p.Label("kubernetes"), v.Kubernetes}, {p.Label("go"), v.Go}, {p.Label("platform"), v.Platform}}
	for _, m := range []map[string]string{v.Libraries, v.APIs} {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			rows = append(rows, []string{name, m[name]})
		}
	}
	columns(w, rows)
}
