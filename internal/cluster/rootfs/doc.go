// Package rootfs builds the root file system of a container, out of the layers
// of an image or out of the host's own root: then every container sees the
// tools of the host, may write anywhere, and leaves nothing of it on the host.
//
// [Build] runs in a mount namespace of the container's own, as root or as the
// root of a user namespace. It reads the host's mounts and top directories,
// decides with a pure function what each becomes (an overlay, a plain
// directory, a link, a recursive read-only bind), creates the mount points of
// the volumes in the upper layers, mounts everything below a scratch directory
// and makes that the root.
//
//	/            scratch/root bound to itself, writable, private
//	├─ usr etc…  one overlay each over the host's, its upper layer below scratch
//	├─ home…     what containers have no business in: the host's, read-only
//	│            mounts of the host below it: bound read-only in their place
//	├─ var       locked mounts below (user namespace): plain directory, its
//	│            directories again; deeper ones are the host's tree, read-only
//	├─ tmp run   fresh
//	├─ dev       tmpfs with the harmless devices, own pts and shm
//	├─ proc sys  own proc; the host's sys read-only
//	└─ .kiwerk   the platform's helper and programs, read-only
//
// Not one overlay over "/": in a user namespace the kernel refuses a lower
// directory with locked mounts below it, and it would not show /home or /var
// on file systems of their own.
//
// A root of image layers is one overlay over them, with own /dev, /proc, /sys
// and /.kiwerk. Every path in it is foreign and is resolved inside of it.
//
// Masked paths (the platform's data and sockets) are empty in every container,
// also where a volume leads to them. The package knows nothing of Kubernetes.
package rootfs
