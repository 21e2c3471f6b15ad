// Package image keeps OCI images for the process runtime: pulled from a
// registry or loaded from a file, unpacked into layers that images share, and
// used as the lower directories of a container's overlay.
//
//	registry ─┐                 ┌─ layers/CHAIN/{fs,layer.json}   unpacked once, by chain digest
//	file ─────┴─▶ [Apply] ──────┼─ images/ID.json                 configuration and its layers
//	             (tar → tree)   └─ names/HASH.json                name → image
//
// A layer is unpacked below a temporary name, into an overlay over the layers
// below it, so that whiteouts, links and attributes become what the kernel
// makes of them; it gets its name with one rename when its digest was right.
// What exists on disk decides: an interrupted pull goes on with the next
// layer, and a layer that no image names is removed by [Store.Prune]. There
// are no counters.
//
// Layers are foreign input: [Apply] works below an os.Root, follows links only
// within it, bounds sizes and counts, and never makes device nodes.
//
// The registry protocol is go-containerregistry's. The package knows neither
// Kubernetes nor the CRI; who may use an image and when is decided there.
package image
