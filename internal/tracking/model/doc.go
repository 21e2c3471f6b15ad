// Package model is the vocabulary of tracking: experiments, runs, metrics,
// data sets, logged models, the model registry, what of them is valid, and
// the errors that MLflow's clients understand. It does no I/O.
package model
