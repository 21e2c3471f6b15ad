// Package dryrun lets an API server try objects without storing them: what
// admission and Kubernetes' own validation say, package lint cannot know.
package dryrun
