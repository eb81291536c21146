package pglab

import "context"

// TB is the part of testing.TB that New needs; the demo must not import testing.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
	Failed() bool
	Context() context.Context
}

// New opens a lab for a test and closes it when the test ends; if the test has
// failed, it shows the end of every server's log. Each setting is applied to
// every server.
func New(t TB, each ...Setting) *Lab {
	t.Helper()
	lab, err := Open(t.Context(), Options{Each: each})
	if err != nil {
		t.Fatalf("pglab: %v", err)
	}
	t.Cleanup(func() {
		t.Helper()
		if t.Failed() {
			for _, s := range lab.Servers() {
				t.Logf("end of the log of %s (port %d):\n%s", s.Name(), s.Port(), tail(s.Log(), 40))
			}
		}
		if err := lab.Close(); err != nil {
			t.Fatalf("pglab: close: %v", err)
		}
	})
	return lab
}
