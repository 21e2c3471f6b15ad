// Package seed applies the corrected code blocks of examples/seed to a running
// Kiwerk and waits for what their table promises: the platform is started by
// the block that installs Kubeflow in the text.
//
// The images are fictional: until the platform takes built ones, a ConfigMap
// with the program of examples/seed/images stands where the image has it.
package seed
