package prices

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Variable names the folder, as it does for MLflow's server: file:///folder.
const Variable = "MLFLOW_MODEL_CATALOG_URI"

// Tokens are how many there were of each kind. Input counts those of the caches, too.
type Tokens struct{ Input, Output, CacheRead, CacheWrite, CacheWriteHour float64 }

// price of a model in US dollars for a million tokens. As with MLflow, tokens of a
// kind without one cost nothing, those of the caches what other input costs.
type price struct {
	Input     *float64 `json:"input_per_million_tokens"`
	Output    *float64 `json:"output_per_million_tokens"`
	Read      *float64 `json:"cache_read_per_million_tokens"`
	Write     *float64 `json:"cache_write_per_million_tokens"`
	WriteHour *float64 `json:"cache_write_1hr_per_million_tokens"`
}

// Catalog reads each file when it is first needed.
type Catalog struct {
	dir       string
	log       *slog.Logger
	providers []string // sorted

	mu    sync.Mutex
	known map[string]map[string]price
}

// FromEnv opens the catalogue that [Variable] names; without one, or with one
// that would have to be fetched, there are no prices and it is nil.
func FromEnv(getenv func(string) string, log *slog.Logger) (*Catalog, error) {
	text := getenv(Variable)
	if text == "" {
		return nil, nil //nolint:nilnil // Without prices nothing has a cost, which is no error.
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s=%q: file:///FOLDER is expected", Variable, text)
	case u.Scheme == "http" || u.Scheme == "https":
		log.Warn("prices of language models are not fetched, so spans of other programs get no cost; keep the catalogue in a folder and name it file:///FOLDER", "variable", Variable)
		return nil, nil //nolint:nilnil // As above.
	case u.Scheme != "file" && u.Scheme != "":
		return nil, fmt.Errorf("%s=%q: file:///FOLDER is expected", Variable, text)
	}
	c, err := Open(u.Path, log)
	if err != nil {
		return nil, fmt.Errorf("%s=%q: %w", Variable, text, err)
	}
	return c, nil
}

// Open finds the files of a folder.
func Open(dir string, log *slog.Logger) (*Catalog, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	c := &Catalog{dir: dir, log: log, known: map[string]map[string]price{}}
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.Name(), ".json"); ok && !f.IsDir() {
			c.providers = append(c.providers, name)
		}
	}
	if len(c.providers) == 0 {
		return nil, fmt.Errorf("the folder %s has no file PROVIDER.json", dir)
	}
	slices.Sort(c.providers)
	return c, nil
}

// of are the prices of a provider. A file that cannot be read has none, and the log says so once.
func (c *Catalog) of(provider string) map[string]price {
	if !slices.Contains(c.providers, provider) {
		return nil // nor does a caller choose which file is read
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.known[provider]; ok {
		return p
	}
	var file struct {
		Models map[string]struct {
			Pricing *price `json:"pricing"`
		} `json:"models"`
	}
	b, err := os.ReadFile(filepath.Join(c.dir, provider+".json"))
	if err == nil {
		err = json.Unmarshal(b, &file)
	}
	if err != nil {
		c.log.Warn("prices of a provider cannot be read", "provider", provider, "error", err)
	}
	p := make(map[string]price, len(file.Models))
	for name, m := range file.Models {
		if m.Pricing != nil {
			p[name] = *m.Pricing
		}
	}
	c.known[provider] = p
	return p
}

// Cost is what the tokens of a model cost in US dollars; false is not known. The provider may be empty.
func (c *Catalog) Cost(model, provider string, n Tokens) (input, output float64, ok bool) {
	if c == nil || n.Input == 0 && n.Output == 0 || strings.HasPrefix(model, "gateway:/") || strings.HasPrefix(model, "endpoints:/") {
		return 0, 0, false
	}
	p, ok := c.find(model, strings.ToLower(provider))
	if !ok {
		return 0, 0, false
	}
	rate := func(known ...*float64) float64 {
		if k := cmp.Or(known...); k != nil {
			return *k / 1e6
		}
		return 0
	}
	hour := min(n.CacheWriteHour, n.CacheWrite)
	input = max(n.Input-n.CacheRead-n.CacheWrite, 0)*rate(p.Input) + n.CacheRead*rate(p.Read, p.Input) +
		(n.CacheWrite-hour)*rate(p.Write, p.Input) + hour*rate(p.WriteHour, p.Write, p.Input)
	return input, n.Output * rate(p.Output), true
}

func (c *Catalog) find(model, provider string) (p price, ok bool) {
	if provider == "" && (strings.HasPrefix(model, "databricks-") || strings.HasPrefix(model, "databricks/")) {
		provider = "databricks"
	}
	if _, rest, found := strings.Cut(model, "/"); found {
		model = rest
	}
	if p, ok = c.of(provider)[model]; ok {
		return p, true
	}
	for _, provider := range c.providers {
		found, there := c.of(provider)[model]
		if there && found.Input != nil && *found.Input > 0 {
			return found, true
		}
		if there && !ok {
			p, ok = found, true
		}
	}
	return p, ok
}
