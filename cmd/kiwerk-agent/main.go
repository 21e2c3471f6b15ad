//go:build linux

// Command kiwerk-agent is the small helper of the local cluster.
//
//	kiwerk-agent hold R D …  holds the node's namespaces, starts the daemon, reaps shims
//	kiwerk-agent shim DIR    runs one container
//	kiwerk-agent init ID     is pid 1 of a container
//	kiwerk-agent pod ID      is pid 1 of a pod whose containers share processes
//	kiwerk-agent step -- C…  runs the command of a pipeline step
//	kiwerk-agent pause       does nothing until it is told to end
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/kiwerk/kiwerk/internal/cluster/holder"
	"github.com/kiwerk/kiwerk/internal/cluster/shim"
	"github.com/kiwerk/kiwerk/internal/pipeline/step"
)

func main() {
	if err := run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "kiwerk-agent:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 2 && args[1] == "pause" {
		shim.Pause()
		return nil
	}
	if len(args) < 3 {
		return fmt.Errorf("usage: %s hold|shim|init …; it is started by kiwerk, not by hand", args[0])
	}
	switch args[1] {
	case "hold":
		if len(args) < 4 {
			return fmt.Errorf("usage: %s hold RUNTIME-DIR DATA-DIR [%s]", args[0], holder.PodNetwork)
		}
		return holder.Run(args[2], args[3], len(args) > 4 && args[4] == holder.PodNetwork)
	case "shim":
		return shim.Run(args[2], time.Now)
	case "step":
		os.Exit(step.Main(args[2:]))
	case "pod":
		return shim.PodInit()
	case "init":
		return shim.Init(time.Now)
	}
	return fmt.Errorf("unknown command %q", args[1])
}
