// Package storage provides the volumes of the local cluster.
//
// [Provisioner] makes the default StorageClass and a folder for each claim of
// it:
//
//	claim Pending ──▶ folder pvc-UID + PersistentVolume ──▶ Bound
//	claim deleted ──▶ PersistentVolume Released ──▶ folder and volume removed
//
// Each step can be repeated, so a crash between two of them is made good after
// the next start. Folders have no size limit of their own; the requested size
// is recorded, not enforced. Paths are opened below the volumes folder only.
package storage
