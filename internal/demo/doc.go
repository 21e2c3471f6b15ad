// Package demo plays a working day of the quality-inspection example on a
// running platform: it is the camera and the people on the line, nothing else.
//
//	images ── roles ──► upload ─► pipeline ─► traffic ─► camera changes ─► drift ─► retraining ─► canary ─► measure
//
// It talks to the platform only as any client does, over HTTP and the
// Kubernetes API, and never starts a retraining or moves traffic itself: it
// waits for the platform to do so and then measures what came of it.
//
// [Run] plays the day and returns a [Report]. Each image has one role
// ([Roles]); [Camera] changes images and lies here because no step of the
// pipeline may reach it.
package demo
