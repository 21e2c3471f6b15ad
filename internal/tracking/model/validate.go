package model

import (
	"encoding/json"
	"math"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits, in characters as Python counts them.
const (
	maxKey             = 250
	maxParamValue      = 6000
	maxTagValue        = 8000
	maxExperimentName  = 500
	maxExperimentTag   = 20000
	maxRegistryTag     = 100_000
	maxAlias           = 255
	maxModelName       = 256
	maxDatasetName     = 500
	maxDatasetDigest   = 36
	maxDatasetSchema   = 1<<20 - 1
	maxDatasetSource   = 1<<16 - 1
	maxDatasetProfile  = 1<<24 - 1
	maxInputTagKey     = 255
	maxInputTagValue   = 500
	maxBatchMetrics    = 1000
	maxBatchPairs      = 100
	maxBatchTotal      = 1000
	maxBatchDatasets   = 1000
	maxArtifactAddress = 2048
)

var (
	runID        = regexp.MustCompile(`^[a-zA-Z0-9][\w\-]{0,255}$`)
	alias        = regexp.MustCompile(`^[\w\-]*$`)
	versionAlias = regexp.MustCompile(`^[vV]\d+$`)
)

const keyHint = "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/)."

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return strconv.Quote(s)
	}
	return string(b)
}

// field is where a value stands in a request: metrics[3].name. It becomes
// text only in an error, because there are a thousand of them in a request.
type field struct {
	list string
	i    int
	name string
}

func (f field) String() string {
	if f.list == "" {
		return f.name
	}
	return f.list + "[" + strconv.Itoa(f.i) + "]." + f.name
}

// checkKey accepts the names of metrics, params and tags.
func checkKey(f field, key string) error {
	for i, r := range key {
		if r < utf8.RuneSelf {
			c := byte(r)
			if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("/_.- :", c) >= 0 {
				continue
			}
		} else if unicode.IsLetter(r) || unicode.IsNumber(r) {
			continue
		}
		return Invalid("Invalid value %s for parameter '%s' supplied: %s (at byte %d)", quote(key), f, keyHint, i)
	}
	if strings.IndexByte(key, '/') >= 0 || strings.IndexByte(key, '.') >= 0 || key == "" {
		if clean := path.Clean(key); clean != key || clean == "." || strings.HasPrefix(clean, "..") || clean[0] == '/' {
			return Invalid("Invalid value %s for parameter '%s' supplied: Names may be treated as files in certain cases, and must not resolve to other names when treated as such. This name would resolve to '%s'", quote(key), f, clean)
		}
	}
	return nil
}

func tooLong(name, value string, limit int) error {
	if len(value) > limit && utf8.RuneCountInString(value) > limit {
		return Invalid("'%s' exceeds the maximum length of %d characters", name, limit)
	}
	return nil
}

// Cut shortens a value to a number of characters.
func Cut(value string, limit int) string {
	if len(value) <= limit {
		return value
	}
	n := 0
	for i := range value {
		if n == limit {
			return value[:i]
		}
		n++
	}
	return value
}

// CheckMetrics validates points; list names them in errors.
func CheckMetrics(list string, metrics []Metric) error {
	last := "" // series repeat their key
	for i, m := range metrics {
		if m.Key != last {
			if err := checkKey(field{list, i, "name"}, m.Key); err != nil {
				return err
			}
			if err := tooLong("Metric name", m.Key, maxKey); err != nil {
				return err
			}
			last = m.Key
		}
		if m.Timestamp < 0 {
			return Invalid("Invalid value %d for parameter '%s' supplied: metric '%s'. Timestamp must be a nonnegative long (64-bit integer)", m.Timestamp, field{list, i, "timestamp"}, m.Key)
		}
	}
	return nil
}

// CheckParams validates parameters and cuts long values as MLflow does.
func CheckParams(list string, params []Pair) error {
	for i, p := range params {
		if err := checkKey(field{list, i, "key"}, p.Key); err != nil {
			return err
		}
		if err := tooLong("Param key", p.Key, maxKey); err != nil {
			return err
		}
		params[i].Value = Cut(p.Value, maxParamValue)
	}
	return nil
}

// CheckTags validates the tags of a run and cuts long values as MLflow does.
func CheckTags(list string, tags []Pair) error {
	for i, t := range tags {
		if err := checkKey(field{list, i, "key"}, t.Key); err != nil {
			return err
		}
		if len(t.Key) > maxKey {
			if err := tooLong((field{list, i, "key"}).String(), t.Key, maxKey); err != nil {
				return err
			}
		}
		tags[i].Value = Cut(t.Value, maxTagValue)
	}
	return nil
}

// CheckBatch validates a log-batch.
func CheckBatch(run string, b *Batch) error {
	if err := CheckRunID(run); err != nil {
		return err
	}
	total := len(b.Metrics) + len(b.Params) + len(b.Tags)
	for _, l := range []struct {
		what   string
		n, max int
	}{
		{"metrics", len(b.Metrics), maxBatchMetrics},
		{"params", len(b.Params), maxBatchPairs},
		{"tags", len(b.Tags), maxBatchPairs},
		{"metrics, params, and tags", total, maxBatchTotal},
	} {
		if l.n > l.max {
			return Invalid("A batch logging request can contain at most %d %s. Got %d %s. Please split up %s across multiple requests and try again.", l.max, l.what, l.n, l.what, l.what)
		}
	}
	if err := CheckMetrics("metrics", b.Metrics); err != nil {
		return err
	}
	if err := CheckParams("params", b.Params); err != nil {
		return err
	}
	if err := CheckTags("tags", b.Tags); err != nil {
		return err
	}
	seen := make(map[string]bool, len(b.Params))
	for _, p := range b.Params {
		if seen[p.Key] {
			return Invalid("Duplicate parameter keys have been submitted: ['%s']. Please ensure the request contains only one param value per param key.", p.Key)
		}
		seen[p.Key] = true
	}
	return nil
}

// CheckRunID accepts what can be the id of a run.
func CheckRunID(id string) error {
	if !runID.MatchString(id) {
		return Invalid("Invalid value %s for parameter 'run_id' supplied.", quote(Cut(id, 100)))
	}
	return nil
}

// CheckExperimentName accepts the name of an experiment.
func CheckExperimentName(name string) error {
	if name == "" {
		return Invalid("Invalid experiment name: ''")
	}
	return tooLong("name", name, maxExperimentName)
}

// CheckExperimentTag accepts a tag of an experiment.
func CheckExperimentTag(t Pair) error { return checkTag(t, maxExperimentTag) }

// CheckTraceTag accepts a tag of a trace and cuts a long value as MLflow does.
func CheckTraceTag(t *Pair) error {
	err := checkTag(Pair{Key: t.Key}, 0)
	t.Value = Cut(t.Value, maxTagValue)
	return err
}

// CheckRegistryTag accepts a tag of a registered model or version.
func CheckRegistryTag(t Pair) error {
	if t.Key == TagPromptText && utf8.RuneCountInString(t.Value) > maxRegistryTag {
		return Invalid("Prompt text exceeds max length of %d characters.", maxRegistryTag)
	}
	return checkTag(t, maxRegistryTag)
}

func checkTag(t Pair, limit int) error {
	if err := checkKey(field{name: "key"}, t.Key); err != nil {
		return err
	}
	if err := tooLong("key", t.Key, maxKey); err != nil {
		return err
	}
	return tooLong("value", t.Value, limit)
}

// CheckModelName accepts the name of a registered model.
func CheckModelName(parameter, name string) error {
	if strings.TrimSpace(name) == "" {
		return Invalid("Missing value for required parameter '%s'.", parameter)
	}
	if strings.ContainsAny(name, "/:") {
		return Invalid("Invalid model name '%s'. Names cannot contain '/' or ':'.", name)
	}
	if name == "." || strings.HasPrefix(name, "..") {
		return Invalid("Invalid value %s for parameter 'name' supplied: Names may be treated as files in certain cases, and must not resolve to other names when treated as such. This name would resolve to '%s'", quote(name), name)
	}
	if strings.ContainsFunc(name, unicode.IsControl) {
		return Invalid("Invalid value %s for parameter '%s' supplied: the name must not contain control characters.", quote(name), parameter)
	}
	return tooLong(parameter, name, maxModelName)
}

// CheckLoggedModelName accepts the name of a logged model.
func CheckLoggedModelName(name string) error {
	if strings.ContainsAny(name, `/:.%"'`) {
		return Invalid("Invalid model name ('%s') provided. Model name must be a non-empty string and cannot contain the following characters: ('/', ':', '.', '%%', '\"', \"'\")", name)
	}
	return tooLong("name", name, maxModelName)
}

// ParseVersion reads the number of a model version.
func ParseVersion(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, Invalid("Parameter 'version' must be an integer, got '%s'.", s)
	}
	return n, nil
}

// ParseExperimentID reads an id; empty is the default experiment.
func ParseExperimentID(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, Invalid("Invalid experiment ID '%s'. Experiment ID must be a valid integer.", s)
	}
	return n, nil
}

// CheckAlias accepts an alias; set says that it is to be made.
func CheckAlias(a string, set bool) error {
	switch {
	case a == "":
		return Invalid("Registered model alias name cannot be empty.")
	case !alias.MatchString(a):
		return Invalid("Invalid alias name: '%s'. Names may only contain alphanumerics, underscores (_), and dashes (-).", a)
	case set && strings.EqualFold(a, "latest"):
		return Invalid("'latest' alias name (case insensitive) is reserved.")
	case set && versionAlias.MatchString(a):
		return Invalid("Version alias name '%s' is reserved.", a)
	}
	return tooLong("Registered model alias name", a, maxAlias)
}

// CheckDatasets validates what a run read.
func CheckDatasets(list []DatasetInput) error {
	if len(list) > maxBatchDatasets {
		return Invalid("A request can contain at most %d datasets, got %d.", maxBatchDatasets, len(list))
	}
	for _, d := range list {
		if err := checkDataset(d); err != nil {
			return err
		}
		for _, t := range d.Tags {
			if t.Key == "" {
				return Invalid("InputTag key cannot be None")
			}
			if err := tooLong("key", t.Key, maxInputTagKey); err != nil {
				return err
			}
			if err := tooLong("value", t.Value, maxInputTagValue); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkDataset(d DatasetInput) error {
	for _, f := range []struct {
		name, value string
		max         int
		required    bool
	}{
		{"name", d.Dataset.Name, maxDatasetName, true},
		{"digest", d.Dataset.Digest, maxDatasetDigest, true},
		{"source_type", d.Dataset.SourceType, maxDatasetName, true},
		{"source", d.Dataset.Source, maxDatasetSource, true},
		{"schema", d.Dataset.Schema, maxDatasetSchema, false},
		{"profile", d.Dataset.Profile, maxDatasetProfile, false},
	} {
		if f.required && f.value == "" {
			return Invalid("Dataset %s cannot be None or empty.", f.name)
		}
		if err := tooLong(f.name, f.value, f.max); err != nil {
			return err
		}
	}
	return nil
}

// CheckArtifactLocation accepts where an experiment may keep its artifacts.
func CheckArtifactLocation(namespace, defaultNamespace, uri string) error {
	switch {
	case strings.HasPrefix(uri, "runs:"):
		return Invalid("Artifact location cannot be a runs:/ URI. Given: '%s'", uri)
	case strings.ContainsAny(uri, "#;"):
		return Invalid("'artifact_location' URL can't include fragments or params.")
	case climbsInQuery(uri):
		return Invalid("Invalid query string")
	case namespace != defaultNamespace && uri != "":
		return Invalid("Experiments of project '%s' keep their artifacts in the platform; leave artifact_location empty.", namespace)
	}
	if utf8.RuneCountInString(uri) > maxArtifactAddress {
		return Invalid("Invalid artifact path length. The length of the artifact path cannot be greater than %d characters.", maxArtifactAddress)
	}
	return nil
}

// climbsInQuery tells whether "..", however encoded, stands behind the ?.
func climbsInQuery(uri string) bool {
	_, query, _ := strings.Cut(uri, "?")
	for range 10 {
		if strings.Contains(query, "..") {
			return true
		}
		decoded, err := url.PathUnescape(query)
		if err != nil || decoded == query {
			return false
		}
		query = decoded
	}
	return true
}

// Sanitize prepares a value for the database, which knows no NaN and whose
// other users know no infinity.
func Sanitize(v float64) (stored float64, nan bool) {
	switch {
	case math.IsNaN(v):
		return 0, true
	case math.IsInf(v, 1):
		return math.MaxFloat64, false
	case math.IsInf(v, -1):
		return -math.MaxFloat64, false
	}
	return v, false
}
