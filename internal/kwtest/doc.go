// Package kwtest gives tests a real Kubernetes API server and the helpers
// around it. It is used by tests only.
//
// The first call of [Config], [Client] or [Namespace] starts the once-built
// program (bin/kiwerk internal control-plane) as a child; all tests of the
// package share it and keep apart by a namespace each:
//
//	func TestMain(m *testing.M) { kwtest.Main(m) }
//
//	func TestThing(t *testing.T) {
//		c, ns := kwtest.Client(t, scheme), kwtest.Namespace(t)
//		…
//	}
//
// There is no kubelet, so pods stay Pending unless the test writes their status.
// [FailNthWrite] proves that a reconciler survives a crash at each of its
// writes, [Golden] compares with files under testdata, [Eventually] and
// [WaitFor] wait for conditions.
//
// The package links no Kubernetes server code, so tests that use it build quickly.
package kwtest
