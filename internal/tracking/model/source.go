package model

import (
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/server"
)

// SourceRules say which addresses can be the source of a model version or the
// location of an experiment's artifacts.
type SourceRules struct {
	// Pattern must be found in every source; nil is no such rule.
	Pattern *regexp.Regexp
	// Schemes are those of [hostSchemes] that are allowed all the same.
	Schemes []string
	// Own are addresses where the server itself keeps artifacts; their hosts are allowed.
	Own []string
}

// hostSchemes lead to whatever host an address names, so that whoever may
// register a model could send the readers of artifacts there.
var hostSchemes = []string{"ftp", "sftp", "hdfs", "viewfs", "http", "https", "mlflow-artifacts", "r2", "b2", "abfss"}

// Check accepts the source of a model version, for what its address alone tells.
func (r SourceRules) Check(source string) error {
	if r.Pattern != nil && !r.Pattern.MatchString(source) {
		return Invalid("Invalid model version source: '%s'.", source)
	}
	return r.checkScheme("source", source)
}

// CheckLocation accepts where an experiment may keep its artifacts.
func (r SourceRules) CheckLocation(uri string) error { return r.checkScheme("artifact_location", uri) }

func (r SourceRules) checkScheme(field, uri string) error {
	scheme := schemeOf(uri)
	if !slices.Contains(hostSchemes, scheme) || scheme == "mlflow-artifacts" && !strings.Contains(uri, "://") || slices.Contains(r.Schemes, scheme) {
		return nil
	}
	if _, rest, _ := strings.Cut(uri, "://"); scheme == "mlflow-artifacts" && strings.HasPrefix(rest, "/") {
		return nil // no host
	}
	hosts := hostsOf(uri)
	for _, own := range r.Own {
		if slices.ContainsFunc(hostsOf(own), func(h string) bool { return slices.Contains(hosts, h) }) {
			return nil
		}
	}
	return Invalid("'%s' cannot use the '%s' scheme: it leads to the host that the address names. Allow it with the environment variable MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES of the server.", field, scheme)
}

// wellKnown are the ports that an address of a scheme of hosts means if it
// names none, with the service that is behind them.
var wellKnown = map[string]struct {
	service string
	ports   []string
}{
	"ftp": {"ftp", []string{"21"}}, "sftp": {"sftp", []string{"22"}}, "hdfs": {"hdfs", []string{""}}, "viewfs": {"hdfs", []string{""}},
	"http": {"http", []string{"80"}}, "https": {"http", []string{"443"}}, "mlflow-artifacts": {"http", []string{"80", "443"}},
	"r2": {"r2", []string{"443"}}, "b2": {"b2", []string{"443"}}, "abfss": {"abfss", []string{"443"}},
}

// hostsOf are the services that an address may lead to.
func hostsOf(uri string) (list []string) {
	u, err := url.Parse(uri)
	known, ok := wellKnown[schemeOf(uri)]
	if err != nil || !ok || u.Hostname() == "" {
		return nil
	}
	ports := known.ports
	if p := u.Port(); p != "" {
		ports = []string{p}
	}
	for _, p := range ports {
		list = append(list, known.service+" "+strings.ToLower(u.Hostname())+" "+p)
	}
	return list
}

// schemeOf is empty for a plain path.
func schemeOf(uri string) string {
	scheme, _, ok := strings.Cut(uri, ":")
	if !ok || scheme == "" || strings.ContainsAny(scheme, "/.\\%") {
		return ""
	}
	scheme, _, _ = strings.Cut(scheme, "+")
	return strings.ToLower(scheme)
}

// CheckSourcePath refuses addresses that climb, in any encoding, and tells a
// path of this machine from the address of a store.
func CheckSourcePath(source string) (local bool, err error) {
	if scheme := schemeOf(source); scheme == "" || scheme == "file" {
		return true, nil
	}
	s := source
	for range 10 {
		if strings.ContainsRune(s, 0) || strings.Contains(s, `\`) {
			return false, climbing(source)
		}
		for part := range strings.SplitSeq(s, "/") {
			if part == ".." || part == "." {
				return false, climbing(source)
			}
		}
		u, err := url.PathUnescape(s)
		if err != nil {
			return false, climbing(source)
		}
		if u == s {
			return false, nil
		}
		s = u
	}
	return false, climbing(source)
}

func climbing(source string) error {
	return Invalid("Invalid model version source: '%s'. The path must be absolute and without relative parts.", source)
}

// WithinPath tells whether a path of this machine lies in a folder of it.
func WithinPath(source, folder string) bool {
	s, ok := localPath(source)
	f, both := localPath(folder)
	return ok && both && (s == f || strings.HasPrefix(s, strings.TrimSuffix(f, "/")+"/"))
}

// CheckFileHost refuses a file: address of another machine, with the status
// that upstream's tests expect.
func CheckFileHost(source string) error {
	_, rest, _ := strings.Cut(source, ":")
	host, given := strings.CutPrefix(rest, "//")
	host, _, _ = strings.Cut(host, "/")
	if schemeOf(source) != "file" || !given || host == "" || strings.HasPrefix(host, "localhost") || strings.HasPrefix(host, "127.0.0.1") {
		return nil
	}
	return server.Errorf(http.StatusInternalServerError, "INTERNAL_ERROR", "%s is not a valid remote uri: a file: address names a path of this machine. Give the path without a host, or the address of an object store.", source)
}

// localPath is the clean path of an absolute path or file: address.
func localPath(uri string) (string, bool) {
	switch schemeOf(uri) {
	case "":
	case "file":
		u, err := url.Parse(uri)
		if err != nil || u.Host != "" && u.Host != "localhost" {
			return "", false
		}
		uri = u.Path
	default:
		return "", false
	}
	return path.Clean(uri), strings.HasPrefix(uri, "/")
}

// proxyRoute is where every tracking server has its artifacts.
const proxyRoute = "/api/2.0/mlflow-artifacts/artifacts"

// Proxied tells whether an address leads into the artifacts of the server that
// is asked, and to which path below them. As upstream has it, the host of an
// http: address does not count: it is the name that clients know the server by.
func Proxied(uri string) (below string, ok bool) {
	_, rest, _ := strings.Cut(uri, ":")
	switch schemeOf(uri) {
	case "mlflow-artifacts":
		if strings.HasPrefix(rest, "//") && !strings.HasPrefix(rest, "///") {
			return "", false // a host
		}
		rest = strings.TrimLeft(rest, "/")
	case "http", "https":
		if _, rest, ok = strings.Cut(rest, proxyRoute); !ok || rest != "" && rest[0] != '/' {
			return "", false
		}
		rest = strings.TrimPrefix(rest, "/")
	default:
		return "", false
	}
	return rest, !strings.HasPrefix(rest, "/")
}

// ArtifactLocation is the address where an experiment keeps its artifacts in
// the one way that it is written: what leads to artifacts of this server must
// not lead elsewhere when it is read again.
func ArtifactLocation(uri string) (string, error) {
	below, ok := Proxied(uri)
	if !ok {
		return uri, nil
	}
	below = strings.TrimRight(below, "/")
	if below != "" {
		if err := blob.CheckKey(below); err != nil {
			return "", Invalid("Invalid artifact_location: '%s'. The path must have no empty and no relative parts: %w", Cut(uri, 500), err)
		}
	}
	if schemeOf(uri) != "mlflow-artifacts" {
		return uri, nil // it names the host that clients reach
	}
	return "mlflow-artifacts:/" + below, nil
}

// Below is the path of an address below that of a folder; both are whole.
func Below(uri, folder string) (path string, ok bool) {
	s, isLocal := localPath(uri)
	if f, both := localPath(folder); isLocal && both {
		uri, folder = s, f
	}
	folder = strings.TrimRight(folder, "/")
	path, ok = strings.CutPrefix(uri, folder)
	return path, ok && folder != "" && (path == "" || path[0] == '/')
}

// IsProxied tells whether an address leads into the artifacts of any tracking server.
func IsProxied(uri string) bool {
	scheme := schemeOf(uri)
	return scheme == "mlflow-artifacts" || (scheme == "http" || scheme == "https") && strings.Contains(uri, proxyRoute)
}

// WithinURI tells whether an address lies in that of a folder.
func WithinURI(source, folder string) bool {
	s, err := url.Parse(source)
	if err != nil {
		return false
	}
	f, err := url.Parse(folder)
	if err != nil {
		return false
	}
	inside, parts := segments(s), segments(f)
	return strings.EqualFold(s.Scheme, f.Scheme) && strings.EqualFold(s.Host, f.Host) && len(parts) > 0 &&
		len(inside) >= len(parts) && slices.Equal(inside[:len(parts)], parts)
}

func segments(u *url.URL) []string {
	return strings.FieldsFunc(u.Opaque+u.Path, func(r rune) bool { return r == '/' })
}
