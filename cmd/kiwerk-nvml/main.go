// Command kiwerk-nvml asks NVIDIA's library on behalf of kiwerk.
package main

import (
	"os"

	"github.com/kiwerk/kiwerk/internal/cluster/devices/nvml/bridge"
)

func main() { os.Exit(bridge.Main(os.Stdin, os.Stdout, os.Stderr)) }
