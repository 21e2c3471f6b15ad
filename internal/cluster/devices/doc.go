// Package devices offers the GPUs of the node to pods: a device plugin,
// feature discovery and a metrics exporter in one, without a process of its
// own.
//
//	           ┌─ Plugin per resource ── ListAndWatch, Allocate ── kubelet
//	Driver ── Manager ─ labels and events of the node ──────────── API server
//	           ├─ Collector: DCGM's metric names ───────────────── /metrics
//	           └─ holders: which pod has which device ◄─────────── kubelet (PodResources)
//
// The [Manager] looks at the devices every few seconds and hears their errors;
// an error that concerns the device takes it out of what the node can
// allocate, and it comes back when the driver says that it can be used again.
// Pods that hold a failed device are left alone; their status shows it.
//
// Whether a [gpu.Driver] is NVIDIA's or simulated makes one difference:
// simulated GPUs have no device files, and their pods get a file with the
// state of the devices, which nvidia-smi (package smi) shows.
package devices
