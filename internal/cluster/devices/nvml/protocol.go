package nvml

import "github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"

// What can be asked for.
const (
	AskSystem  = "system"
	AskSamples = "samples"
)

// Request is a line to the child.
type Request struct {
	Ask string `json:"ask"`
}

// Message is a line from the child: an answer, or an event at any time.
type Message struct {
	Event   *gpu.Event   `json:"event,omitempty"`
	System  *gpu.System  `json:"system,omitempty"`
	Samples []gpu.Sample `json:"samples,omitempty"`
	// Error answers a question that failed.
	Error string `json:"error,omitempty"`
}
