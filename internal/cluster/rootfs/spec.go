package rootfs

// Spec says how the root of one container looks.
type Spec struct {
	// Scratch is a path of the container's own that does not exist yet. It may
	// be removed after the container's end. It holds /tmp, /var/tmp and the home
	// directory; what is written elsewhere outside of volumes stays in memory.
	Scratch string
	// Layers are the directories of an image, the topmost first. Without them the
	// root is made of the host's own.
	Layers []string `json:",omitempty"`
	// ImageVolumes are paths that stay writable in a read-only root made of Layers.
	ImageVolumes []string `json:",omitempty"`
	// Volumes are mounted in the order of their destinations' depth.
	Volumes []Volume
	// Devices are bound into /dev in addition to the default ones.
	Devices []Device
	// Masks are host paths that must be empty in the container.
	Masks []string
	// Allowed are directories below a mask from which volumes may come.
	Allowed []string
	// Files are written into the fresh root, for example /etc/resolv.conf.
	Files map[string]string
	// Programs are bound read-only to /.kiwerk/bin/<key>.
	Programs map[string]string
	// ReadOnly makes everything but volumes, /dev and /proc read-only.
	ReadOnly bool
	// ShmBytes bounds /dev/shm; 0 takes the kernel's default.
	ShmBytes int64
	// Shm, if set, is the directory of the pod that becomes /dev/shm.
	Shm string `json:",omitempty"`
	// SharedProc says that the pid namespace is not the container's own, so that
	// its /proc may have to be that of the host.
	SharedProc bool `json:",omitempty"`
	// ProcFD, if not 0, is a mount that becomes /proc, as it belongs to another pid namespace.
	ProcFD int `json:"-"`
	// Cgroups are the container's own groups: the directory of the host by its
	// name below /sys/fs/cgroup, "" for the whole. They are shown read-only, and
	// nothing else there; without any, the host's are shown.
	Cgroups map[string]string `json:",omitempty"`
	// Owner owns the home directory of the container.
	OwnerUID, OwnerGID uint32
}

// KubeletDir is where the kubelet insists on having its own folder, whatever its
// settings say. The holder binds one of ours there.
const KubeletDir = "/var/lib/kubelet"

// memoryShare bounds what one container can write outside of its volumes, /tmp,
// /var/tmp and its home.
const memoryShare = "25%"

// Home is the home directory of every container: fresh, writable, nobody's else.
const Home = "/.kiwerk/home"

// ProgramDir is where the platform's own programs are in every container.
const ProgramDir = "/.kiwerk/bin"

// Volume is a file or directory of the host at a path of the container.
type Volume struct {
	Source string
	// Layers are the directories of an image, the topmost first, which is
	// shown in place of a Source; SubPath is a path inside of it.
	Layers   []string `json:",omitempty"`
	SubPath  string   `json:",omitempty"`
	Dest     string
	ReadOnly bool
	// FollowHost lets later mounts of the host below Source appear (HostToContainer).
	FollowHost bool
}

// Device is a device file of the host.
type Device struct {
	Source, Dest string
}
