// Command probe is the static program that bench/node starts, as a process of
// the host and in containers.
//
//	probe                     ends at once
//	probe idle                waits until it is told to end
//	probe serve PORT          takes what others send, prints the port
//	probe send HOST:PORT D    sends for the time D, prints bytes per second
//	probe echo HOST:PORT D    sends a byte and waits for it, prints round trips per second
package main
