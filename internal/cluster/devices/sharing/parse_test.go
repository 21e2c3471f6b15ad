package sharing

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
)

func TestParse(t *testing.T) {
	for name, tc := range map[string]struct {
		file   string
		want   Config
		errors []string
		reason string
	}{
		"Minimal": {file: "version: v1", want: Default(), reason: "everything has a default"},
		"TimeSlicing": {
			file: "version: v1\nsharing: {timeSlicing: {renameByDefault: true, failRequestsGreaterThanOne: true, resources: [{name: nvidia.com/gpu, replicas: 4}]}}",
			want: Config{DeviceIDs: IDsUUID, Policy: gpu.Policy{MIG: gpu.MIGNone, Sharing: gpu.Sharing{
				Strategy: gpu.ShareSlices, FailMultiple: true,
				Resources: []gpu.Shared{{Name: "nvidia.com/gpu", Rename: "nvidia.com/gpu.shared", Replicas: 4}},
			}}},
			reason: "the example of most guides",
		},
		"MPS": {
			file: "version: v1\nsharing: {mps: {resources: [{name: gpu, rename: small, replicas: 2, devices: [0, \"1:1\", GPU-ab-1]}]}}",
			want: Config{DeviceIDs: IDsUUID, Policy: gpu.Policy{MIG: gpu.MIGNone, Sharing: gpu.Sharing{
				Strategy: gpu.ShareMPS, FailMultiple: true,
				Resources: []gpu.Shared{{Name: "nvidia.com/gpu", Rename: "nvidia.com/small", Replicas: 2, Devices: &gpu.Choice{List: []string{"0", "1:1", "GPU-ab-1"}}}},
			}}},
			reason: "MPS refuses more than one replica unless told otherwise; the domain may be left out",
		},
		"FlagsWithoutEffect": {
			file: `
version: v1
flags:
  migStrategy: mixed
  failOnInitError: false
  nvidiaDriverRoot: /
  gfd: {oneshot: false, sleepInterval: 60s}
  plugin: {passDeviceSpecs: true, deviceListStrategy: [envvar], deviceIDStrategy: index}
resources:
  gpus: [{pattern: "*T4*", name: t4}]
  migs: [{pattern: "1g.*", name: nvidia.com/small}]
`,
			want: Config{DeviceIDs: IDsIndex, Policy: gpu.Policy{
				MIG: gpu.MIGMixed, GPUs: []gpu.Rule{{Pattern: "*T4*", Resource: "nvidia.com/t4"}}, Profiles: []gpu.Rule{{Pattern: "1g.*", Resource: "nvidia.com/small"}},
			}},
			reason: "files of real clusters carry them",
		},
		"Count": {
			file: "version: v1\nsharing: {timeSlicing: {resources: [{name: nvidia.com/gpu, replicas: 2, devices: 3}, {name: nvidia.com/mig-1g.10gb, replicas: 3, devices: all}]}}",
			want: Config{DeviceIDs: IDsUUID, Policy: gpu.Policy{MIG: gpu.MIGNone, Sharing: gpu.Sharing{Strategy: gpu.ShareSlices, Resources: []gpu.Shared{
				{Name: "nvidia.com/gpu", Replicas: 2, Devices: &gpu.Choice{Count: 3}}, {Name: "nvidia.com/mig-1g.10gb", Replicas: 3},
			}}}},
		},
		"Problems": {
			file: "version: v2\nflags: {migStrategy: some, plugin: {deviceIDStrategy: name}}\nsharing: {timeSlicing: {resources: [{name: a/b, replicas: 1}, {name: gpu, replicas: 2}, {name: nvidia.com/gpu, replicas: 2}]}}",
			errors: []string{
				`version: "v2"`, `migStrategy: "some"`, `deviceIDStrategy: "name"`, `resources[0].name: "a/b"`, "resources[0].replicas: 1", "resources[2].name: nvidia.com/gpu stands twice",
			},
			reason: "all at once",
		},
		"Both":     {file: "version: v1\nsharing: {timeSlicing: {resources: [{name: gpu, replicas: 2}]}, mps: {resources: [{name: gpu, replicas: 2}]}}", errors: []string{"not both"}},
		"Nothing":  {file: "version: v1\nsharing: {mps: {}}", errors: []string{"sharing.mps.resources: is empty"}},
		"Misspelt": {file: "version: v1\nsharing: {timeSlicing: {resource: []}}", errors: []string{`unknown field "resource"`}},
		"Devices":  {file: "version: v1\nsharing: {timeSlicing: {resources: [{name: gpu, replicas: 2, devices: some}]}}", errors: []string{`want "all"`}},
		"Twice":    {file: "version: v1\nsharing: {timeSlicing: {resources: [{name: gpu, replicas: 2, devices: [0, 0]}]}}", errors: []string{`want "all"`}},
		"NotYAML":  {file: "{", errors: []string{"device plugin configuration"}},
		"Huge":     {file: "version: v1\nsharing: {timeSlicing: {resources: [{name: gpu, replicas: 100000000}]}}", errors: []string{"not between 2 and 1000"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse([]byte(tc.file))
			if len(tc.errors) == 0 {
				if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
					t.Errorf("%s: %v\n%s", tc.reason, err, diff)
				}
				return
			}
			for _, want := range tc.errors {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v does not say %q", err, want)
				}
			}
		})
	}
}

// What is accepted can be used: a policy of the parser never makes a name that Kubernetes refuses.
func FuzzParse(f *testing.F) {
	f.Add("version: v1\nsharing: {mps: {resources: [{name: gpu, rename: small, replicas: 2, devices: [0, \"1:1\"]}]}}")
	f.Add("version: v1\nflags: {migStrategy: mixed}\nresources: {gpus: [{pattern: '*', name: x}]}")
	f.Add("version: v1\nsharing: {timeSlicing: {renameByDefault: true, resources: [{name: gpu, replicas: 2, devices: 1}]}}")
	f.Fuzz(func(t *testing.T, file string) {
		c, err := Parse([]byte(file))
		if err != nil {
			return
		}
		names := []string{}
		for _, r := range c.Policy.Sharing.Resources {
			names = append(names, r.Name)
			if r.Rename != "" {
				names = append(names, r.Rename)
			}
			if r.Replicas < minReplicas || r.Replicas > maxReplicas {
				t.Errorf("%d replicas", r.Replicas)
			}
		}
		for _, r := range append(c.Policy.GPUs, c.Policy.Profiles...) {
			names = append(names, r.Resource)
		}
		for _, n := range names {
			short, ok := strings.CutPrefix(n, domain)
			if !ok || !resourceName.MatchString(short) {
				t.Errorf("name %q", n)
			}
		}
	})
}
