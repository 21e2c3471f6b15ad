package node

import "context"

// Port is the loopback port that a pod was given.
type Port struct {
	Namespace, Name, UID string
	Port                 int
}

// PortSource tells which ports were handed out: first all that are in use, then each new one.
type PortSource interface {
	// Watch's channel is closed when ctx ends.
	Watch(ctx context.Context) <-chan Port
}
