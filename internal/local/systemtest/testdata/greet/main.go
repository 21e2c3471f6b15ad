// Command greet says how it was started and stays. Built without cgo it needs
// nothing but itself in an image.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	dir, err := os.Getwd()
	if err != nil {
		dir = err.Error()
	}
	fmt.Println(os.Getenv("GREETING"), strings.Join(os.Args[1:], " "), "from", os.Getuid(), os.Getgid(), "in", dir)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
}
