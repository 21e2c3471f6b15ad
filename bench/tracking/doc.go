// Command tracking measures the tracking server and `mlflow server` side by
// side: the same requests from the same Go client on the same machine and
// disk, in alternating rounds, medians printed as a text table.
//
//	go run ./bench/tracking [--seconds 2] [--rounds 3] [--runs 500]
//
// Both servers run with SQLite; mlflow comes from .venv with its default
// number of workers unless told otherwise. Every answer is checked for its
// status, and those of searches for their number of runs.
package main
