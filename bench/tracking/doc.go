// Command tracking measures `kiwerk tracking serve` beside its peers, `mlflow
// server` and FastTrackML: the same requests from the same Go client on the
// same machine and disk, in alternating rounds, medians printed as text tables
// with the bound of each row.
//
//	go run ./bench/tracking [--phases start,load,scale,artifacts,client] [--engines sqlite,postgres] [--peers mlflow,fasttrackml]
//
//	start      first answer, memory when idle
//	load       logging, creating, searching a few hundred runs; bytes per point
//	scale      searches in 10,000, 100,000 and 1,000,000 runs; the runs are
//	           put into both databases by SQL, each in its own schema
//	artifacts  1 GiB up and down beside a raw copy through a socket
//	client     the stock Python client: one metric at a time, all runs of an
//	           experiment of 100,000
//
// Every answer is checked for its status, and those of searches for their
// number of runs. PostgreSQL is a private instance on the same disk.
// scripts/setup-bench.sh installs what only the peers need.
package main
