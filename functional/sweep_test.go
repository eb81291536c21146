//go:build functional

package functional

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"

	dc "github.com/ory/dockertest/v3/docker"
)

// label marks all that a suite makes in the engine; its value is the process
// that made it.
const label = "plusmoin.functional"

func labels() map[string]string { return map[string]string{label: strconv.Itoa(os.Getpid())} }

func ours(owner string) bool { return owner == strconv.Itoa(os.Getpid()) }

// making is held while something is made.
var making sync.RWMutex

// sweepWhenInterrupted lets nothing more be made and removes what there is. The
// stories go on meanwhile, and remove things too.
func sweepWhenInterrupted() {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	<-interrupted
	making.Lock()
	err := docker.Retry(func() error { return sweep(ours) })
	web.close()
	fmt.Fprintln(os.Stderr, "interrupted:", cmp.Or(err, errors.New("all that was made is removed")))
	os.Exit(1)
}

// abandoned says that the process that made a thing is gone.
func abandoned(owner string) bool {
	pid, err := strconv.Atoi(owner)
	return err != nil || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

// sweep removes containers, volumes and networks whose owner is meant.
func sweep(meant func(owner string) bool) error {
	filter := map[string][]string{"label": {label}}
	containers, err := docker.Client.ListContainers(dc.ListContainersOptions{All: true, Filters: filter})
	if err != nil {
		return fmt.Errorf("sweeping: %w", err)
	}
	var errs []error
	for _, c := range containers {
		if meant(c.Labels[label]) {
			errs = append(errs, remove(c.ID))
		}
	}
	volumes, err := docker.Client.ListVolumes(dc.ListVolumesOptions{Filters: filter})
	errs = append(errs, err)
	for _, v := range volumes {
		if meant(v.Labels[label]) {
			errs = append(errs, docker.Client.RemoveVolumeWithOptions(dc.RemoveVolumeOptions{Name: v.Name}))
		}
	}
	networks, err := docker.Client.FilteredListNetworks(dc.NetworkFilterOpts{"label": {label: true}})
	errs = append(errs, err)
	for _, n := range networks {
		if meant(n.Labels[label]) {
			errs = append(errs, docker.Client.RemoveNetwork(n.ID))
		}
	}
	return errors.Join(errs...)
}

// remove ends and removes a container, running, paused or neither.
func remove(id string) error {
	return docker.Client.RemoveContainer(dc.RemoveContainerOptions{ID: id, Force: true, RemoveVolumes: true})
}
