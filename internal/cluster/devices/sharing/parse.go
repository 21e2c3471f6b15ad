package sharing

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
)

const (
	version     = "v1"
	domain      = "nvidia.com/"
	maxName     = 63
	minReplicas = 2
	// maxReplicas keeps a mistake from making millions of devices.
	maxReplicas = 1000
)

// DeviceIDs are what pods get in NVIDIA_VISIBLE_DEVICES.
const (
	IDsUUID  = "uuid"
	IDsIndex = "index"
)

// Config is what the file says, as far as it has an effect.
type Config struct {
	Policy gpu.Policy
	// DeviceIDs is IDsUUID or IDsIndex.
	DeviceIDs string
}

// Default is the configuration without a file.
func Default() Config {
	return Config{Policy: gpu.Policy{MIG: gpu.MIGNone}, DeviceIDs: IDsUUID}
}

// Parse reads a file. The error names every problem with its field.
func Parse(data []byte) (Config, error) {
	var f file
	raw, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return Config{}, fmt.Errorf("device plugin configuration: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return Config{}, fmt.Errorf("device plugin configuration: %w", err)
	}
	return f.config()
}

type file struct {
	Version   string    `json:"version"`
	Flags     flags     `json:"flags"`
	Resources resources `json:"resources"`
	Sharing   sharing   `json:"sharing"`
	Imex      any       `json:"imex"`
}

type flags struct {
	MIGStrategy string      `json:"migStrategy"`
	Plugin      pluginFlags `json:"plugin"`

	// No effect here.
	FailOnInitError         any `json:"failOnInitError"`
	MPSRoot                 any `json:"mpsRoot"`
	NvidiaDriverRoot        any `json:"nvidiaDriverRoot"`
	NvidiaDevRoot           any `json:"nvidiaDevRoot"`
	GDRCopyEnabled          any `json:"gdrcopyEnabled"`
	GDSEnabled              any `json:"gdsEnabled"`
	MOFEDEnabled            any `json:"mofedEnabled"`
	UseNodeFeatureAPI       any `json:"useNodeFeatureAPI"`
	DeviceDiscoveryStrategy any `json:"deviceDiscoveryStrategy"`
	GFD                     any `json:"gfd"`
}

type pluginFlags struct {
	DeviceIDStrategy string `json:"deviceIDStrategy"`

	// No effect here.
	PassDeviceSpecs     any `json:"passDeviceSpecs"`
	DeviceListStrategy  any `json:"deviceListStrategy"`
	CDIAnnotationPrefix any `json:"cdiAnnotationPrefix"`
	NvidiaCTKPath       any `json:"nvidiaCTKPath"`
	ContainerDriverRoot any `json:"containerDriverRoot"`
}

type resources struct {
	GPUs []named `json:"gpus"`
	MIGs []named `json:"migs"`
}

type named struct {
	Pattern string `json:"pattern"`
	Name    string `json:"name"`
}

type sharing struct {
	TimeSlicing *replicated `json:"timeSlicing"`
	MPS         *replicated `json:"mps"`
}

type replicated struct {
	RenameByDefault            bool     `json:"renameByDefault"`
	FailRequestsGreaterThanOne *bool    `json:"failRequestsGreaterThanOne"`
	Resources                  []shared `json:"resources"`
}

type shared struct {
	Name     string   `json:"name"`
	Rename   string   `json:"rename"`
	Devices  *devices `json:"devices"`
	Replicas int      `json:"replicas"`
}

// devices is "all", a count or a list of indexes and UUIDs.
type devices struct{ choice *gpu.Choice }

var errDevices = errors.New(`devices: want "all", a number or a list of indexes ("0", for MIG "0:1") and UUIDs`)

// UnmarshalJSON tells the three forms apart.
func (d *devices) UnmarshalJSON(data []byte) error {
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	switch v := v.(type) {
	case string:
		if v == "all" {
			return nil
		}
	case float64:
		if v >= 1 && v == float64(int(v)) {
			d.choice = &gpu.Choice{Count: int(v)}
			return nil
		}
	case []any:
		c, err := list(v)
		d.choice = c
		return err
	}
	return errDevices
}

func list(values []any) (*gpu.Choice, error) {
	c := &gpu.Choice{}
	for _, v := range values {
		var id string
		switch v := v.(type) {
		case string:
			id = v
		case float64:
			if v < 0 || v != float64(int(v)) {
				return nil, errDevices
			}
			id = fmt.Sprint(int(v))
		}
		if !deviceName.MatchString(id) || slices.Contains(c.List, id) {
			return nil, errDevices
		}
		c.List = append(c.List, id)
	}
	if len(c.List) == 0 {
		return nil, errDevices
	}
	return c, nil
}

var (
	deviceName   = regexp.MustCompile(`^([0-9]+(:[0-9]+)?|(GPU|MIG)-[0-9a-zA-Z-]+)$`)
	resourceName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9._-]*[a-zA-Z0-9])?$`)
)

// config checks f and reports every problem.
func (f file) config() (Config, error) {
	var problems []error
	add := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	c := Default()
	if f.Version != version {
		add("version: %q is not %s", f.Version, version)
	}
	switch f.Flags.MIGStrategy {
	case "":
	case gpu.MIGNone, gpu.MIGSingle, gpu.MIGMixed:
		c.Policy.MIG = f.Flags.MIGStrategy
	default:
		add("flags.migStrategy: %q is none of none, single, mixed", f.Flags.MIGStrategy)
	}
	switch f.Flags.Plugin.DeviceIDStrategy {
	case "":
	case IDsUUID, IDsIndex:
		c.DeviceIDs = f.Flags.Plugin.DeviceIDStrategy
	default:
		add("flags.plugin.deviceIDStrategy: %q is none of uuid, index", f.Flags.Plugin.DeviceIDStrategy)
	}
	c.Policy.GPUs = rules("resources.gpus", f.Resources.GPUs, add)
	c.Policy.Profiles = rules("resources.migs", f.Resources.MIGs, add)
	switch {
	case f.Sharing.TimeSlicing != nil && f.Sharing.MPS != nil:
		add("sharing: a node shares its GPUs by timeSlicing or by mps, not both")
	case f.Sharing.TimeSlicing != nil:
		c.Policy.Sharing = f.Sharing.TimeSlicing.policy(gpu.ShareSlices, add)
	case f.Sharing.MPS != nil:
		c.Policy.Sharing = f.Sharing.MPS.policy(gpu.ShareMPS, add)
	}
	if len(problems) > 0 {
		return Config{}, fmt.Errorf("device plugin configuration: %w", errors.Join(problems...))
	}
	return c, nil
}

type report func(format string, args ...any)

func rules(path string, list []named, add report) []gpu.Rule {
	var out []gpu.Rule
	for i, n := range list {
		if n.Pattern == "" {
			add("%s[%d].pattern: is empty", path, i)
		}
		out = append(out, gpu.Rule{Pattern: n.Pattern, Resource: fullName(fmt.Sprintf("%s[%d].name", path, i), n.Name, add)})
	}
	return out
}

// fullName adds NVIDIA's domain where the file leaves it out.
func fullName(path, name string, add report) string {
	short := strings.TrimPrefix(name, domain)
	if !resourceName.MatchString(short) || len(short) > maxName {
		add("%s: %q is not a resource name: nvidia.com/ and at most %d letters, digits, dots, dashes", path, name, maxName)
	}
	return domain + short
}

func (r replicated) policy(strategy string, add report) gpu.Sharing {
	field := map[string]string{gpu.ShareSlices: "timeSlicing", gpu.ShareMPS: "mps"}[strategy]
	s := gpu.Sharing{Strategy: strategy, FailMultiple: strategy == gpu.ShareMPS}
	if r.FailRequestsGreaterThanOne != nil {
		s.FailMultiple = *r.FailRequestsGreaterThanOne
	}
	if len(r.Resources) == 0 {
		add("sharing.%s.resources: is empty, so nothing would be shared", field)
	}
	for i, x := range r.Resources {
		path := fmt.Sprintf("sharing.%s.resources[%d]", field, i)
		out := gpu.Shared{Name: fullName(path+".name", x.Name, add), Replicas: x.Replicas}
		if slices.ContainsFunc(s.Resources, func(o gpu.Shared) bool { return o.Name == out.Name }) {
			add("%s.name: %s stands twice", path, out.Name)
		}
		if x.Replicas < minReplicas || x.Replicas > maxReplicas {
			add("%s.replicas: %d is not between %d and %d", path, x.Replicas, minReplicas, maxReplicas)
		}
		switch {
		case x.Rename != "":
			out.Rename = fullName(path+".rename", x.Rename, add)
		case r.RenameByDefault:
			out.Rename = gpu.SharedName(out.Name)
		}
		if x.Devices != nil {
			out.Devices = x.Devices.choice
		}
		s.Resources = append(s.Resources, out)
	}
	return s
}
