// Package time is what a plusmoin built for the soak has in its standard library
// beside the rest: a wall clock that is off by what a file says.
package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

// wallStep is by how many nanoseconds the wall clock is off: the first eight
// bytes of the file, which the soak may change at any time.
var wallStep = mapStep()

func mapStep() *int64 {
	path, named := syscall.Getenv("SOAK_CLOCK")
	if !named {
		return new(int64)
	}
	file, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		panic(path + ": " + err.Error())
	}
	defer syscall.Close(file)
	page, err := syscall.Mmap(file, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic(path + ": " + err.Error())
	}
	return (*int64)(unsafe.Pointer(unsafe.SliceData(page)))
}

// steppedNow is what Now reads. The monotonic clock is as it is.
func steppedNow() (sec int64, nsec int32, mono int64) {
	sec, nsec, mono = runtimeNow()
	step := atomic.LoadInt64(wallStep)
	sec, nsec = sec+step/1e9, nsec+int32(step%1e9)
	switch {
	case nsec < 0:
		return sec - 1, nsec + 1e9, mono
	case nsec >= 1e9:
		return sec + 1, nsec - 1e9, mono
	}
	return sec, nsec, mono
}
