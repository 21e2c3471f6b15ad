package mcp

import (
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

type object = map[string]any

const (
	maxName   = 256
	maxKey    = 250
	maxValue  = 5000
	maxURL    = 2048
	maxSource = 512
	maxIcons  = 100
	maxTools  = 1000
)

var (
	nameSpace = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9.-]*[a-zA-Z0-9]$`)
	nameSlug  = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]*[a-zA-Z0-9]$`)
	// taken are the words that follow a name in addresses.
	taken = []string{"aliases", "endpoints", "tags", "versions"}
)

func checkName(name string) error {
	if name == "" {
		return model.Invalid("MCP server name must not be empty")
	}
	space, slug, ok := strings.Cut(name, "/")
	if !ok || len(name) > maxName || !nameSpace.MatchString(space) || !nameSlug.MatchString(slug) || slices.Contains(taken, slug) {
		return model.Invalid("Invalid MCP server name. Expected '<reverse-dns namespace>/<server slug>' such as 'com.example/server-name'.")
	}
	return nil
}

// checkLength bounds a text as MLflow's columns do; nil is none.
func checkLength(field string, text *string, most int) error {
	if text != nil && len(*text) > most {
		return model.Invalid("%s is %d bytes long, the limit is %d.", field, len(*text), most)
	}
	return nil
}

// form is what a field of a document may hold.
type form int

const (
	text form = iota
	flag
	words
	mapping
	anything
	icons
	list // of objects with a shape
	part // one such object
)

type field struct {
	name     string
	form     form
	required bool
	shape    []field
}

// What is known of the documents. Other fields are kept as they are.
var (
	variableShape = []field{{name: "name", required: true}, {name: "description"}, {name: "isRequired", form: flag}, {name: "isSecret", form: flag}}
	packageShape  = []field{
		{name: "registryType", required: true},
		{name: "identifier", required: true},
		{name: "transport", form: anything, required: true},
		{name: "registryBaseUrl"},
		{name: "version"},
		{name: "environmentVariables", form: list, shape: variableShape},
	}
	serverShape = []field{
		{name: "name", required: true},
		{name: "version", required: true},
		{name: "title"},
		{name: "description"},
		{name: "icons", form: icons},
		{name: "packages", form: list, shape: packageShape},
		{name: "remotes", form: list, shape: []field{{name: "type"}, {name: "url"}}},
		{name: "repository", form: part, shape: []field{{name: "url", required: true}, {name: "source", required: true}, {name: "id"}, {name: "subfolder"}}},
		{name: "websiteUrl"},
		{name: "_meta", form: mapping},
	}
	toolShape = []field{
		{name: "name", required: true},
		{name: "title"},
		{name: "description"},
		{name: "inputSchema", form: mapping},
		{name: "outputSchema", form: mapping},
		{name: "annotations", form: mapping},
		{name: "icons", form: icons},
		{name: "execution", form: mapping},
	}
	iconShape = []field{{name: "src", required: true}, {name: "sizes", form: words}, {name: "mimeType"}, {name: "theme"}}
)

// check looks at a document and brings its icons to their stored form.
func (c Config) check(at string, o object, shape []field) error {
	for _, f := range shape {
		where := at + "." + f.name
		v, there := o[f.name]
		switch {
		case !there && f.required:
			return invalid(where, "Field required")
		case !there, v == nil && !f.required:
			continue
		}
		if err := c.checkField(where, v, f); err != nil {
			return err
		}
		if f.form == icons {
			list, err := c.icons(where, v)
			if err != nil {
				return err
			}
			o[f.name] = list
		}
	}
	return nil
}

func (c Config) checkField(where string, v any, f field) error {
	ok, what := true, ""
	switch f.form {
	case text:
		_, ok = v.(string)
		what = "string"
	case flag:
		_, ok = v.(bool)
		what = "boolean"
	case mapping:
		_, ok = v.(object)
		what = "dictionary"
	case words:
		var list []any
		list, ok = v.([]any)
		ok = ok && !slices.ContainsFunc(list, func(e any) bool { _, text := e.(string); return !text })
		what = "list of strings"
	case part:
		o, is := v.(object)
		if is {
			return c.check(where, o, f.shape)
		}
		ok, what = false, "dictionary"
	case list:
		return c.checkList(where, v, f.shape)
	case anything, icons:
	}
	if !ok {
		return invalid(where, "Input should be a valid "+what)
	}
	return nil
}

func (c Config) checkList(where string, v any, shape []field) error {
	elements, ok := v.([]any)
	if !ok {
		return invalid(where, "Input should be a valid list")
	}
	for i, e := range elements {
		o, ok := e.(object)
		if !ok {
			return invalid(fmt.Sprintf("%s.%d", where, i), "Input should be a valid dictionary")
		}
		if err := c.check(fmt.Sprintf("%s.%d", where, i), o, shape); err != nil {
			return err
		}
	}
	return nil
}

// tools checks tools and leaves out what is not known; what is not given is null.
func (c Config) tools(given []object) ([]object, error) {
	if len(given) > maxTools {
		return nil, invalid("tools", fmt.Sprintf("List should have at most %d items", maxTools))
	}
	out := []object{}
	for i, t := range given {
		if t == nil {
			return nil, invalid(fmt.Sprintf("tools.%d", i), "Input should be a valid dictionary")
		}
		if err := c.check(fmt.Sprintf("tools.%d", i), t, toolShape); err != nil {
			return nil, err
		}
		kept := object{}
		for _, f := range toolShape {
			kept[f.name] = t[f.name]
		}
		out = append(out, kept)
	}
	return out, nil
}

// icons checks icons. Where they come from is said in answers only.
func (c Config) icons(where string, v any) ([]object, error) {
	if err := c.checkList(where, v, iconShape); err != nil {
		return nil, err
	}
	elements, _ := v.([]any)
	if len(elements) > maxIcons {
		return nil, invalid(where, fmt.Sprintf("List should have at most %d items", maxIcons))
	}
	out := []object{}
	for i, e := range elements {
		icon, _ := e.(object)
		if icon["source"] == "version" {
			return nil, model.Invalid("Invalid %s[%d].source: 'version' is only told in answers: writing it would make the icon of a version one of the server. Leave source out.", where, i)
		}
		kept := object{}
		for k, v := range icon {
			if k != "source" && v != nil {
				kept[k] = v
			}
		}
		src, _ := icon["src"].(string)
		if err := c.checkIcon(src); err != nil {
			return nil, err
		}
		if kind, given := kept["mimeType"].(string); given {
			kind = strings.ToLower(strings.TrimSpace(kind))
			if !strings.HasPrefix(kind, "image/") || kind == "image/" {
				return nil, model.Invalid("Invalid icon mimeType '%s'. Allowed values must use the 'image/*' media type.", model.Cut(kind, 100))
			}
			kept["mimeType"] = kind
		}
		out = append(out, kept)
	}
	return out, nil
}

// number is a host that programs may take for an IP address.
var number = regexp.MustCompile(`^(0x)?[0-9a-f.]*[0-9a-f]$`)

// checkIcon refuses addresses that a browser should not be led to.
func (c Config) checkIcon(src string) error {
	shown := model.Cut(src, 100)
	u, err := url.Parse(src)
	if err != nil || strings.TrimSpace(src) == "" || len(src) > maxURL {
		return model.Invalid("Invalid Icon URL '%s': it is not an address of at most %d characters.", shown, maxURL)
	}
	if !slices.Contains(c.Schemes, u.Scheme) {
		return model.Invalid("Invalid Icon URL scheme: '%s'. Allowed schemes are: '%s'.", u.Scheme, strings.Join(c.Schemes, "', '"))
	}
	host := strings.ToLower(u.Hostname())
	if host == "" || u.User != nil {
		return model.Invalid("Icon URL must include a hostname and no user: '%s'", shown)
	}
	ip, err := netip.ParseAddr(host)
	switch isIP := err == nil; {
	case !isIP && number.MatchString(host) && strings.ContainsAny(host[:1], "0123456789"):
		return model.Invalid("Icon URL host '%s' is an IP address in an unusual spelling.", host)
	case !c.AllowPrivate && (isIP && !model.PublicAddress(ip) || host == "localhost" || strings.HasSuffix(host, ".localhost")):
		return model.Invalid("Icon URL must not lead to a private address: '%s'. MLFLOW_ICON_URL_ALLOW_PRIVATE_IPS=true on the server allows it.", shown)
	}
	if len(c.Domains) > 0 && !slices.ContainsFunc(c.Domains, func(pattern string) bool {
		ok, err := path.Match(strings.ToLower(pattern), host)
		return ok && err == nil
	}) {
		return model.Invalid("Icon URL host '%s' is not in the allowed domain list: %s.", host, strings.Join(c.Domains, ", "))
	}
	return nil
}

// option says how a way to connect is shown.
type option struct {
	Hidden bool `json:"hidden"`
}
