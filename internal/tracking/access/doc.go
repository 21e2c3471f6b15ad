// Package access is who may do what on a tracking server that has no
// Kubernetes: the users, roles and permissions of MLflow's basic-auth app.
//
//	[Config]   the ini file and its environment variables
//	[Service]  users and grants in SQL; it authenticates and authorises
//	Govern     puts a judge between what an endpoint reads and what it does
//
// A role holds grants: a permission (READ, USE, EDIT, MANAGE, DENY) on a kind
// of resource and one of its ids or all ("*"). What a user may do with an
// object is the highest grant of all roles, but a DENY among them wins. A
// grant on a sub-resource (run, logged_model, trace …) decides before one on
// the experiment that holds it. Without a grant the default permission counts.
//
// Which objects a request names is what its type declares with the tag about
// (see route.Mentions), and nothing else. An endpoint that declares nothing can
// be called by administrators only. Searches are narrowed to what the caller
// may see before they look. Who makes an object may manage it from the same
// transaction on.
package access
