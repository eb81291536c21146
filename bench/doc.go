// Package bench measures plusmoin as a whole: how soon it notices, what it
// costs, and how far it goes. Each figure is printed beside a floor that was
// taken in the same run, since on a busy machine a figure alone says nothing;
// and no figure is ever asserted.
//
//	go test -run '^$' -bench . -timeout 30m ./bench
//
// It has benchmarks only. They run plusmoin as a process of its own, on real
// servers of package pglab or on the nodes of package fleet, and read what they
// tell from the status file, from triggers and from the system. Each benchmark
// takes its samples itself, and so long that the testing package calls it once.
//
// The environment variable PLUSMOIN_BENCH_BINARY names another build of
// plusmoin to measure.
package bench
