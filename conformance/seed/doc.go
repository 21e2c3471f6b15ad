// Package seed applies the corrected code blocks of examples/seed to a running
// Kiwerk and waits for what their table promises, as root and as an ordinary
// user: the platform is started by the block that installs Kubeflow in the text.
//
// The images are fictional. The test packs them as OCI images out of the small
// programs of examples/seed/images and this machine's own tools, Python and
// MLflow, and loads them with kiwerk image load; the platform runs with
// --images oci, so nothing else can serve in their place.
package seed
