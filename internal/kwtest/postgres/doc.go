// Package postgres starts a private PostgreSQL for tests.
//
//	func TestMain(m *testing.M) { os.Exit(postgres.Run(m.Run)) }
//
//	func TestThing(t *testing.T) { uri := postgres.URI(t) … }
//
// The first [URI] of a process makes and starts a server in a temporary
// folder, on a unix socket only; each test gets an empty schema of its own.
// [Start] makes a server for one test that stops or kills it. PostgreSQL
// refuses to run as root, so root's tests run it as postgres or nobody. A
// machine without PostgreSQL skips these tests and says so.
//
// Texts sort as Germans sort them, as they do on many servers, so that a query
// whose order depends on it fails here.
package postgres
