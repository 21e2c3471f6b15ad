package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/kiwerk/kiwerk/internal/text"
	"github.com/kiwerk/kiwerk/internal/tracking/client"
	"github.com/kiwerk/kiwerk/internal/tracking/workbench"
)

// RegisteredModels are what kiwerk models list prints.
type RegisteredModels struct {
	Items []client.RegisteredModel `json:"models"`
}

func stamp(ms client.Int) time.Time { return time.UnixMilli(int64(ms)) }

func newest(m *client.RegisteredModel) (version string) {
	highest := -1
	for _, v := range m.Latest {
		var n int
		if _, err := fmt.Sscan(v.Version, &n); err == nil && n > highest {
			highest, version = n, v.Version
		}
	}
	return version
}

func aliasCells(m *client.RegisteredModel) string {
	var list []string
	for _, a := range m.Aliases {
		list = append(list, a.Alias+"→"+a.Version)
	}
	return strings.Join(list, " ")
}

// Table prints one line per model.
func (m *RegisteredModels) Table(w io.Writer, p *text.Printer) {
	rows := [][]string{p.Labels("MODEL", "VERSION", "ALIASES", "CHANGED")}
	for i := range m.Items {
		v := &m.Items[i]
		rows = append(rows, []string{v.Name, newest(v), aliasCells(v), stamp(v.Updated).Local().Format(time.DateTime)})
	}
	columns(w, rows)
}

func (m *RegisteredModels) wide(w io.Writer, p *text.Printer) {
	rows := [][]string{p.Labels("MODEL", "VERSION", "ALIASES", "CHANGED", "CREATED", "TAGS", "DESCRIPTION")}
	for i := range m.Items {
		v := &m.Items[i]
		var tags []string
		for _, t := range v.Tags {
			tags = append(tags, t.Key+"="+shorten(t.Value))
		}
		rows = append(rows, []string{
			v.Name, newest(v), aliasCells(v), stamp(v.Updated).Local().Format(time.DateTime), stamp(v.Created).Local().Format(time.DateTime), strings.Join(tags, " "), shorten(v.Description),
		})
	}
	columns(w, rows)
}

func (m *RegisteredModels) records() (first []string, rows []record) {
	first = []string{"name", "version", "aliases", "created", "updated", "description"}
	for i := range m.Items {
		v := &m.Items[i]
		row := record{
			"name": v.Name, "version": newest(v), "aliases": aliasCells(v), "created": stamp(v.Created), "updated": stamp(v.Updated), "description": v.Description,
		}
		for _, t := range v.Tags {
			row["tags."+t.Key] = t.Value
		}
		rows = append(rows, row)
	}
	return first, rows
}

// RegisteredModel is what kiwerk models show prints.
type RegisteredModel struct {
	client.RegisteredModel

	Versions []client.ModelVersion `json:"versions"`
	// one says that a single version is meant.
	one bool
}

// Table prints a model with its versions, newest first.
func (m *RegisteredModel) Table(w io.Writer, p *text.Printer) {
	columns(w, [][]string{
		{p.Label("MODEL"), m.Name},
		{p.Label("CREATED"), stamp(m.Created).Local().Format(time.DateTime)},
		{p.Label("DESCRIPTION"), shorten(m.Description)},
		{p.Label("ALIASES"), aliasCells(&m.RegisteredModel)},
	})
	fmt.Fprintln(w)
	versionRows(w, p, m.Versions, m.AliasesOf)
	if m.one {
		about(w, p, m.Versions[0])
	}
}

func versionRows(w io.Writer, p *text.Printer, list []client.ModelVersion, aliases func(string) []string) {
	rows := [][]string{p.Labels("VERSION", "STATUS", "ALIASES", "APPROVAL", "RUN", "CREATED", "SOURCE")}
	for _, v := range list {
		approval, _ := client.Value(v.Tags, workbench.TagApproval)
		if by, _ := client.Value(v.Tags, workbench.TagApprovalBy); by != "" {
			approval += " (" + by + ")"
		}
		rows = append(rows, []string{v.Version, v.Status, strings.Join(aliases(v.Version), " "), approval, v.RunID, stamp(v.Created).Local().Format(time.DateTime), v.Source})
	}
	columns(w, rows)
}

// about is what only a single version has room for.
func about(w io.Writer, p *text.Printer, v client.ModelVersion) {
	if v.Description != "" {
		fmt.Fprintf(w, "\n%s\n", p.Label("DESCRIPTION"))
		for line := range strings.Lines(v.Description) {
			fmt.Fprintf(w, "  %s\n", strings.TrimRight(oneLine(line), " "))
		}
	}
	section(w, p.Label("TAGS"), pairRows(client.Map(v.Tags)))
}

// ModelChanged is the version that a command was about.
type ModelChanged struct {
	client.ModelVersion

	said text.Sentence
}

// Table says what was done and what comes next.
func (m *ModelChanged) Table(w io.Writer, p *text.Printer) { fmt.Fprintln(w, m.said.In(p)) }

// ModelPulled is what kiwerk models pull prints.
type ModelPulled struct {
	Name    string             `json:"name"`
	Version string             `json:"version"`
	Folder  string             `json:"folder"`
	Files   []workbench.Pulled `json:"files"`
}

// Table prints the files with their hashes.
func (m *ModelPulled) Table(w io.Writer, p *text.Printer) {
	rows := [][]string{p.Labels("FILE", "SIZE", "SHA256", "CHECKED BY")}
	for _, f := range m.Files {
		rows = append(rows, []string{f.Path, p.Bytes(f.Size), f.SHA256, p.Label(f.Verified)})
	}
	columns(w, rows)
	fmt.Fprintln(w, p.T(text.ModelPulled, m.Name, m.Version, m.Folder))
}
