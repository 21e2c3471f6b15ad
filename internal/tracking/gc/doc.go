// Package gc removes for good what is marked as deleted: records and
// artifacts of runs, logged models and experiments.
//
// Artifacts go first, so that a crash in between leaves a record that names
// them and the next call goes on there. One call removes a bounded number and
// says whether there is more; whoever calls repeats it. Erasing a person's data
// is the same at once: what is named is marked as deleted first.
package gc
