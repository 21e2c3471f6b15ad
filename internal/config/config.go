package config

import (
	"time"
)

// Config is everything that can be set.
type Config struct {
	Server   Server   `yaml:"server"`
	Runtime  Runtime  `yaml:"runtime"`
	GPUs     GPUs     `yaml:"gpus"`
	Serving  Serving  `yaml:"serving"`
	Tracking Tracking `yaml:"tracking"`
	Data     Data     `yaml:"data"`
	Logs     Logs     `yaml:"logs"`
}

// Server is the HTTP face.
type Server struct {
	// Listen is host:port. Port 0 takes a free one and prints it.
	Listen string `yaml:"listen"`
	// Hosts are names beside loopback under which the platform may be called; "*.suffix" matches names below it.
	Hosts []string `yaml:"hosts"`
	// TLS is required for any address but loopback.
	TLS TLS `yaml:"tls"`
}

// TLS names the files of a certificate.
type TLS struct {
	CertFile string `yaml:"certFile"`
	KeyFile  string `yaml:"keyFile"`
}

// Enabled tells whether a certificate is configured.
func (t TLS) Enabled() bool { return t.CertFile != "" || t.KeyFile != "" }

// Runtime is how containers run on this machine.
type Runtime struct {
	// Python is an interpreter or the folder of a virtual environment; it comes
	// first on PATH in pods. Empty takes what PATH has.
	Python string `yaml:"python"`
	// Network is how pods are connected: pod (each has an address of its own), host
	// (they share this machine's network) or auto (pod where that is possible).
	Network string `yaml:"network"`
	// Images says what image names mean: auto takes an image where there is one or a
	// registry gives it, and the tools of this machine elsewhere; oci takes images
	// only, as a server does; host takes the tools only.
	Images string `yaml:"images"`
	// Nodes is how many nodes this machine plays, each with a kubelet of its own.
	Nodes int `yaml:"nodes"`
}

// GPUs is how the graphics processors of this machine are offered to pods.
type GPUs struct {
	// Simulate plays GPUs that the machine does not have, as "h100:8"; empty offers the real ones.
	Simulate string `yaml:"simulate"`
	// Config is a configuration file of NVIDIA's device plugin: sharing, MIG strategy, names.
	Config string `yaml:"config"`
}

// Serving bounds where models may come from.
type Serving struct {
	// FileRoots are the folders below which file:// addresses of models may lie.
	FileRoots []string `yaml:"fileRoots"`
	// AllowPrivateAddresses lets http(s):// addresses of models lead into private networks.
	AllowPrivateAddresses bool `yaml:"allowPrivateAddresses"`
}

// Tracking is runs, metrics and artifacts.
type Tracking struct {
	// Artifacts is an absolute folder or a bucket (s3://, gs://, wasbs://,
	// abfss://) for the bytes of artifacts, models and data sets; empty is a
	// folder in the data directory.
	Artifacts string `yaml:"artifacts"`
	// MaxArtifactBytes bounds one uploaded file.
	MaxArtifactBytes int64 `yaml:"maxArtifactBytes"`
}

// Data is what endpoints record.
type Data struct {
	// FeedbackRetention is how long a prediction waits for its label.
	FeedbackRetention Duration `yaml:"feedbackRetention"`
	// SampleRetention applies where an object asks for samples and names no time.
	SampleRetention Duration `yaml:"sampleRetention"`
}

// Logs are files in the data directory.
type Logs struct {
	// Level is debug, info, warn or error.
	Level string `yaml:"level"`
	// MaxFileBytes is when a file is rotated, MaxFiles how many old ones are kept.
	MaxFileBytes int64 `yaml:"maxFileBytes"`
	MaxFiles     int   `yaml:"maxFiles"`
}

// Values of Runtime.Network.
const (
	NetworkAuto = "auto"
	NetworkPod  = "pod"
	NetworkHost = "host"
)

// MaxNodes is the most that Runtime.Nodes may be.
const MaxNodes = 10

// Default is the configuration of a laptop.
func Default() Config {
	return Config{
		Server:   Server{Listen: DefaultListen},
		Runtime:  Runtime{Network: NetworkAuto, Images: "auto", Nodes: 1},
		Tracking: Tracking{MaxArtifactBytes: 5 << 30},
		Data:     Data{FeedbackRetention: Duration(30 * 24 * time.Hour), SampleRetention: Duration(30 * 24 * time.Hour)},
		Logs:     Logs{Level: "info", MaxFileBytes: 16 << 20, MaxFiles: 3},
	}
}

// DefaultListen is where the platform answers unless told otherwise.
const DefaultListen = "127.0.0.1:7878"
