// Package nvml is the driver of real GPUs: a child process (kiwerk-nvml) loads
// NVIDIA's library and answers in lines of JSON.
//
//	daemon ── Request ──► kiwerk-nvml ── libnvidia-ml.so.1
//	       ◄─ Message ──
//
// A process of its own, because the library needs cgo, which the program is
// built without, and because a fault in it must not end a cluster. One that
// dies is started again with the next question.
package nvml
