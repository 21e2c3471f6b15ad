// Package ids tells which users and groups exist where the local cluster runs.
//
// As root all do. An ordinary user's holder has a user namespace in which root
// is that user, and other ids exist only as far as the host grants subordinate
// ones. [Check] says which of the ids that a pod wants are lacking, and what to
// do about it.
package ids
