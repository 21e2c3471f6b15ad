// Command kiwerk-nvidia-smi is nvidia-smi in containers that hold simulated GPUs.
package main

import (
	"os"
	"time"

	"github.com/kiwerk/kiwerk/internal/cluster/devices/smi"
)

func main() { os.Exit(smi.Main(os.Args[1:], os.Getenv, os.Stdout, os.Stderr, time.Now())) }
