// Package lineage says where things come from and where they went: data sets,
// run, model version, endpoint.
//
// [Origin] is what the platform knows of the pod that creates a run; it comes
// from the token, so that a client cannot claim it. What only the step knows
// (packages, uncommitted changes) arrives as tags of the new run and becomes
// files of it ([Split]). [Service] answers for a model version with everything
// that is linked to it; endpoints are asked through [Endpoints], which the
// composition root fills.
package lineage
