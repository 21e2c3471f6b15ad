// Package smi is the nvidia-smi of containers that hold simulated GPUs (the
// program kiwerk-nvidia-smi): the table, -L, -q -x and --query-gpu with the columns that
// scripts ask for. It shows the devices of NVIDIA_VISIBLE_DEVICES only, and
// says in its heading that they are simulated.
//
// It reads a file that the platform keeps current, talks to nobody, and uses
// the standard library only.
package smi
