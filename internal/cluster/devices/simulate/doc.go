// Package simulate plays GPUs that a machine does not have: the same answers
// that NVIDIA's library would give of an H100, so that manifests, sharing,
// schedulers and dashboards for GPU nodes can be tried on a laptop.
//
// [Parse] reads "h100:8" or "a100:2:3g.20gb*2,t4:1"; [Open] makes the driver.
// What a GPU does follows from the pods that hold it ([Driver.Load]); errors
// come from [Driver.Fail] and go with [Driver.Recover], and are kept on disk.
// Nothing computes: CUDA programs find no device.
package simulate
