// Package workspaces keeps the workspaces of a tracking server that has no
// Kubernetes: their names and the routes that list, make, change and delete
// them. [Service.Wrap] refuses requests whose header names one that does not
// exist. What lies in a workspace is the business of the parts: [Contents].
// Beside Kubernetes a workspace is a namespace: [Elsewhere] reads those.
package workspaces
