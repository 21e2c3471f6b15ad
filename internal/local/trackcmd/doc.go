// Package trackcmd joins the command line and tracking without Kubernetes:
// [Runners] is what `kiwerk tracking …` does. It links no Kubernetes, so that
// small programs for tests can have these commands alone.
package trackcmd
