// Package alone is tracking and registry without Kubernetes: what
// `kiwerk tracking serve` runs, for teams that want a better `mlflow server`.
//
//	Open: database ─ artifacts ─ access ─ routes ─ listen ─ ready
//
// [Options] are those of `mlflow server`; [Server] runs until Stop. Who may
// call is decided in this order: MLflow's users and permissions where they are
// switched on, everybody where [Options.Insecure] says so, else the processes
// of the user who started the program, on this machine.
//
// It shares storage, routes and the listening side with the platform and links
// no Kubernetes client.
package alone
