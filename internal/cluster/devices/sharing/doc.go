// Package sharing reads the configuration file of NVIDIA's device plugin
// (version v1) and makes a [gpu.Policy] of it, so that a file that serves a
// cluster serves a laptop too.
//
// What does not apply here – where the driver lies, how device lists travel,
// how often feature discovery runs – is accepted and has no effect; a field
// that the format does not have is refused with its path, because a word
// misspelt would otherwise be a setting silently missing.
package sharing
