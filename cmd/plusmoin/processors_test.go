package main

import (
	"os"
	"runtime"
	"testing"
)

func TestUseProcessors(t *testing.T) {
	t.Setenv("GOMAXPROCS", "") // which puts back what it was
	os.Unsetenv("GOMAXPROCS")
	before := runtime.GOMAXPROCS(3)
	defer runtime.GOMAXPROCS(before)

	useProcessors(fewNodes)
	if now := runtime.GOMAXPROCS(0); now != 1 {
		t.Errorf("%d processors for few nodes", now)
	}
	useProcessors(fewNodes + 1)
	if now := runtime.GOMAXPROCS(0); now < 1 || now > runtime.NumCPU() || now == 1 && runtime.NumCPU() > 1 && before > 1 {
		t.Errorf("%d processors for more nodes", now)
	}
	t.Setenv("GOMAXPROCS", "3")
	runtime.GOMAXPROCS(3)
	useProcessors(1)
	if now := runtime.GOMAXPROCS(0); now != 3 {
		t.Errorf("%d processors, told to use 3", now)
	}
}
