package workbench

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/tracking/client"
)

// Sections of a comparison, in their order.
const (
	SectionRun         = "run"
	SectionMetrics     = "metrics"
	SectionParams      = "params"
	SectionCode        = "code"
	SectionEnvironment = "environment"
	SectionData        = "data"
	SectionTags        = "tags"
)

// Row is one thing that runs are compared by. A nil value is not there.
type Row struct {
	Section string    `json:"section"`
	Key     string    `json:"key"`
	Values  []*string `json:"values"`
	// Delta is the last metric minus the first one.
	Delta *client.Float `json:"delta,omitempty"`
	Same  bool          `json:"same"`
}

// Comparison of runs.
type Comparison struct {
	Runs []string `json:"runs"`
	Rows []Row    `json:"rows"`
}

// Side is a run with what was read of its environment: lines of its lock, by package.
type Side struct {
	Run      Run
	Packages map[string]string
}

// Compare puts runs side by side; without all only what differs.
func Compare(sides []Side, all bool) Comparison {
	c := Comparison{Runs: []string{}, Rows: []Row{}}
	for _, s := range sides {
		c.Runs = append(c.Runs, s.Run.ID)
	}
	for _, part := range []struct {
		section string
		of      func(Side) map[string]string
	}{
		{SectionRun, about},
		{SectionMetrics, metrics},
		{SectionParams, func(s Side) map[string]string { return s.Run.Params }},
		{SectionCode, code},
		{SectionEnvironment, environment},
		{SectionData, datasets},
		{SectionTags, ownTags},
	} {
		for _, row := range rows(part.section, sides, part.of) {
			if all || !row.Same {
				c.Rows = append(c.Rows, row)
			}
		}
	}
	return c
}

func rows(section string, sides []Side, of func(Side) map[string]string) []Row {
	parts := make([]map[string]string, len(sides))
	keys := map[string]bool{}
	for i, s := range sides {
		parts[i] = of(s)
		for k := range parts[i] {
			keys[k] = true
		}
	}
	list := make([]Row, 0, len(keys))
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		row := Row{Section: section, Key: k, Same: true}
		for i, p := range parts {
			v, ok := p[k]
			if ok {
				row.Values = append(row.Values, &v)
			} else {
				row.Values = append(row.Values, nil)
			}
			first := row.Values[0]
			if i > 0 && (ok != (first != nil) || ok && v != *first) {
				row.Same = false
			}
		}
		if section == SectionMetrics {
			row.Delta = delta(sides, k)
		}
		list = append(list, row)
	}
	return list
}

func delta(sides []Side, key string) *client.Float {
	a, first := sides[0].Run.Metrics[key]
	b, last := sides[len(sides)-1].Run.Metrics[key]
	d := b - a
	if !first || !last || math.IsNaN(float64(d)) {
		return nil
	}
	return &d
}

func about(s Side) map[string]string {
	m := map[string]string{"status": s.Run.Status, "experiment": s.Run.ExperimentID, "name": s.Run.Name, "user": s.Run.User}
	if s.Run.Start != nil && s.Run.End != nil {
		m["duration"] = fmt.Sprintf("%.1f s", s.Run.End.Sub(*s.Run.Start).Seconds())
	}
	return m
}

func metrics(s Side) map[string]string {
	m := make(map[string]string, len(s.Run.Metrics))
	for k, v := range s.Run.Metrics {
		m[k] = v.String()
	}
	return m
}

// sectionOf says where a tag belongs; empty for what MLflow keeps for itself.
func sectionOf(tag string) string {
	switch {
	case tag == "mlflow.source.name" || strings.HasPrefix(tag, "mlflow.source.") || strings.HasPrefix(tag, TagPrefix+"code.") || strings.HasPrefix(tag, "mlflow.project"):
		return SectionCode
	case strings.HasPrefix(tag, TagPrefix+"image") || strings.HasPrefix(tag, TagPrefix+"env.") || strings.HasPrefix(tag, "mlflow.docker"):
		return SectionEnvironment
	case strings.HasPrefix(tag, TagPrefix+"data."):
		return SectionData
	case strings.HasPrefix(tag, "mlflow.") && tag != "mlflow.note.content" && tag != "mlflow.parentRunId":
		return ""
	}
	return SectionTags
}

func tagsOf(s Side, section string) map[string]string {
	m := map[string]string{}
	for k, v := range s.Run.Tags {
		if sectionOf(k) == section {
			m[k] = v
		}
	}
	return m
}

// stepScript is the file of a step's script, whose name differs each time; its hash is a tag of its own.
var stepScript = regexp.MustCompile(`\S*/kiwerk-step-\d+/script`)

func code(s Side) map[string]string {
	m := tagsOf(s, SectionCode)
	for k, v := range m {
		m[k] = stepScript.ReplaceAllString(v, "script")
	}
	return m
}

func ownTags(s Side) map[string]string { return tagsOf(s, SectionTags) }

func environment(s Side) map[string]string {
	m := tagsOf(s, SectionEnvironment)
	for k, v := range s.Packages {
		m[k] = v
	}
	return m
}

func datasets(s Side) map[string]string {
	m := tagsOf(s, SectionData)
	for _, d := range s.Run.Datasets {
		key := d.Dataset.Name
		if use, _ := client.Value(d.Tags, "mlflow.data.context"); use != "" {
			key += " (" + use + ")"
		}
		if m[key] != "" {
			m[key] += " "
		}
		m[key] += d.Dataset.Digest
	}
	return m
}

// Packages reads the lines of a lock or of `pip freeze`: NAME==VERSION or NAME @ ADDRESS.
func Packages(lock string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(lock) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " ;")
		line = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(line), "\\"))
		if line == "" || line[0] == '#' || line[0] == '-' {
			continue
		}
		if name, version, ok := strings.Cut(line, "=="); ok {
			m[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(version)
		} else if name, address, ok := strings.Cut(line, " @ "); ok {
			m[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(address)
		}
	}
	return m
}
