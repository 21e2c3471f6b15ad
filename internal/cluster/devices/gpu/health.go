package gpu

import (
	"fmt"
	"time"
)

// applicationXIDs are errors of a program, not of the device.
var applicationXIDs = map[uint64]bool{
	13:  true, // graphics engine exception
	31:  true, // memory page fault
	43:  true, // processing stopped
	45:  true, // preemptive cleanup, after other errors
	68:  true, // video processor exception
	109: true, // context switch timeout
}

// Health remembers what is wrong with one GPU. The zero value is healthy.
type Health struct {
	// XID is the last error that counts, 0 if there was none.
	XID   uint64    `json:"xid,omitempty"`
	Since time.Time `json:"since,omitzero"`
	// Instances are the ones concerned; none means the whole GPU.
	Instances []int  `json:"instances,omitempty"`
	Reason    string `json:"reason,omitempty"`
}

// Healthy tells whether an instance (-1: the whole GPU) can be used.
func (h Health) Healthy(gi int) bool {
	if h.Reason == "" {
		return true
	}
	if len(h.Instances) == 0 || gi < 0 {
		return false
	}
	for _, i := range h.Instances {
		if i == gi {
			return false
		}
	}
	return true
}

// After is the state after an error was reported.
func (h Health) After(e Event, now time.Time) Health {
	if applicationXIDs[e.XID] {
		return h
	}
	whole := e.GI < 0 || (h.Reason != "" && len(h.Instances) == 0)
	h.XID, h.Since, h.Reason = e.XID, now, fmt.Sprintf("Xid %d", e.XID)
	if whole {
		h.Instances = nil
		return h
	}
	h.Instances = append(append([]int{}, h.Instances...), e.GI)
	return h
}

// Seen is the state after a look at the device. One that does not answer is
// unhealthy without any error. It recovers when the driver says that nothing
// is left to be done; drivers that do not tell leave that to a person.
func (h Health) Seen(s Sample, now time.Time) Health {
	const lost = "does not answer"
	switch {
	case s.Lost && h.Reason == "":
		return Health{Since: now, Reason: lost}
	case s.Lost:
		return h
	case h.Reason == lost, h.Reason != "" && s.Recovery == RecoveryNone:
		return Health{}
	}
	return h
}
