// Package atomicfile replaces files as a whole.
//
// It is for records that a start needs: [Write] costs a round trip to the disk.
// What is written often, or may be lost with the machine, is renamed without it
// where it is written.
package atomicfile
