//go:build linux

// Command up measures `kiwerk up`: time to ready (fresh and again), memory and
// CPU at idle, the first Job and a Job of 100 pods, as root and as an ordinary
// user, with the bounds of the design beside them.
//
//	go run ./bench/up [--bin bin] [--user kiwerk-test] [--idle 30s]
//
// Memory is the sum of Pss of the platform's own processes (launcher, holder,
// daemon, shims), containers not counted; CPU is their time over the idle
// window as a share of one core. The load of the machine is printed, because
// none of the times means anything without it.
package main
