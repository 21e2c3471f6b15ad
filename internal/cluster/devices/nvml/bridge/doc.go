// Package bridge is kiwerk-nvml: it asks NVIDIA's library through go-nvml and
// answers in the lines of package nvml. It is built with cgo; without, [Main]
// says so and ends.
package bridge
