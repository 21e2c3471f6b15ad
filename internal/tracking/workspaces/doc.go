// Package workspaces keeps the workspaces of a tracking server that has no
// Kubernetes: their names and the routes that list, make, change and delete
// them. [Service.Wrap] refuses requests whose header names one that does not
// exist. Beside Kubernetes a workspace is a namespace: [Elsewhere] reads those.
package workspaces
