package simulate

import "github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"

// model is a product as its data sheet has it.
type model struct {
	name         string
	architecture string
	memory       uint64 // MiB
	major, minor int
	device       string // PCI device and vendor
	// idle and limit are W, clocks MHz.
	idle, limit float64
	smClock     int
	memoryClock int
	// links is the number of NVLinks to each other GPU of the board.
	links    int
	profiles []profile
}

// profile is a kind of MIG instance. slices of 7 and parts of 8 bound what fits.
type profile struct {
	name            string
	slices, parts   int
	memory          uint64
	multiprocessors int
	engines         gpu.Engines
	// most is how many there can be, if less than fit.
	most int
}

// sliced makes the usual profiles of a GPU with eight memory parts; "" leaves one out.
func sliced(names [6]string, part uint64, multiprocessors, jpeg int) []profile {
	shape := [6]struct{ slices, parts, copy, decoder int }{{1, 1, 1, 0}, {1, 2, 1, 1}, {2, 2, 2, 1}, {3, 4, 3, 2}, {4, 4, 4, 2}, {7, 8, 7, 5}}
	var list []profile
	for i, s := range shape {
		p := profile{
			name: names[i], slices: s.slices, parts: s.parts, memory: part * uint64(s.parts), multiprocessors: multiprocessors * s.slices,
			engines: gpu.Engines{Copy: s.copy, Decoder: s.decoder},
		}
		if s.slices == 7 {
			p.engines.JPEG, p.engines.OFA = jpeg, 1
		}
		list = append(list, p)
	}
	media := list[0]
	media.name += "+me"
	media.engines.Decoder, media.engines.JPEG, media.engines.OFA, media.most = 1, min(jpeg, 1), 1, 1
	return append(list, media)
}

var models = map[string]model{
	"v100": {
		name: "Tesla V100-SXM2-16GB", architecture: "Volta", memory: 16384, major: 7, minor: 0, device: "0x1DB110DE",
		idle: 41, limit: 300, smClock: 1530, memoryClock: 877, links: 1,
	},
	"t4": {
		name: "Tesla T4", architecture: "Turing", memory: 15360, major: 7, minor: 5, device: "0x1EB810DE",
		idle: 10, limit: 70, smClock: 1590, memoryClock: 5001,
	},
	"a30": {
		name: "NVIDIA A30", architecture: "Ampere", memory: 24576, major: 8, minor: 0, device: "0x20B710DE",
		idle: 28, limit: 165, smClock: 1440, memoryClock: 1215,
		profiles: []profile{
			{name: "1g.6gb", slices: 1, parts: 2, memory: 5952, multiprocessors: 14, engines: gpu.Engines{Copy: 1}},
			{name: "2g.12gb", slices: 2, parts: 4, memory: 12032, multiprocessors: 28, engines: gpu.Engines{Copy: 2, Decoder: 2}},
			{name: "4g.24gb", slices: 4, parts: 8, memory: 24189, multiprocessors: 56, engines: gpu.Engines{Copy: 4, Decoder: 4, JPEG: 1, OFA: 1}},
		},
	},
	"a100": {
		name: "NVIDIA A100-SXM4-40GB", architecture: "Ampere", memory: 40960, major: 8, minor: 0, device: "0x20B010DE",
		idle: 52, limit: 400, smClock: 1410, memoryClock: 1215, links: 12,
		profiles: sliced([6]string{"1g.5gb", "1g.10gb", "2g.10gb", "3g.20gb", "4g.20gb", "7g.40gb"}, 4992, 14, 1),
	},
	"a100-80gb": {
		name: "NVIDIA A100-SXM4-80GB", architecture: "Ampere", memory: 81920, major: 8, minor: 0, device: "0x20B210DE",
		idle: 60, limit: 400, smClock: 1410, memoryClock: 1593, links: 12,
		profiles: sliced([6]string{"1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb"}, 9984, 14, 1),
	},
	"l4": {
		name: "NVIDIA L4", architecture: "Ada Lovelace", memory: 23034, major: 8, minor: 9, device: "0x27B810DE",
		idle: 12, limit: 72, smClock: 2040, memoryClock: 6251,
	},
	"l40s": {
		name: "NVIDIA L40S", architecture: "Ada Lovelace", memory: 46068, major: 8, minor: 9, device: "0x26B910DE",
		idle: 35, limit: 350, smClock: 2520, memoryClock: 9001,
	},
	"h100": {
		name: "NVIDIA H100 80GB HBM3", architecture: "Hopper", memory: 81559, major: 9, minor: 0, device: "0x233010DE",
		idle: 70, limit: 700, smClock: 1980, memoryClock: 2619, links: 18,
		profiles: sliced([6]string{"1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb"}, 9984, 16, 7),
	},
	"h200": {
		name: "NVIDIA H200", architecture: "Hopper", memory: 143771, major: 9, minor: 0, device: "0x233510DE",
		idle: 76, limit: 700, smClock: 1980, memoryClock: 3201, links: 18,
		profiles: sliced([6]string{"1g.18gb", "1g.35gb", "2g.35gb", "3g.71gb", "4g.71gb", "7g.141gb"}, 17920, 16, 7),
	},
	"b200": {
		name: "NVIDIA B200", architecture: "Blackwell", memory: 183359, major: 10, minor: 0, device: "0x290110DE",
		idle: 140, limit: 1000, smClock: 1965, memoryClock: 3996, links: 18,
		profiles: sliced([6]string{"1g.23gb", "1g.45gb", "2g.45gb", "3g.90gb", "4g.90gb", "7g.180gb"}, 22784, 18, 7),
	},
}
