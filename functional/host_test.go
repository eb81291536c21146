//go:build functional

package functional

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/ory/dockertest/v3"
	dc "github.com/ory/dockertest/v3/docker"
)

// host is a container of a story.
type host struct {
	lab       *lab
	name      string // of the host, and on the watching network
	container *dockertest.Resource
	options   dc.CreateContainerOptions // it was made with
	address   map[*dockertest.Network]string
}

// run makes a host on these networks and starts it. dockertest's own way to run
// a container replaces the image's stop signal and gives no aliases.
func (l *lab) run(name string, options dc.CreateContainerOptions, on ...*dockertest.Network) *host {
	l.Helper()
	h := &host{lab: l, name: name, options: options, address: map[*dockertest.Network]string{}}
	h.options.Name = l.id + "-" + name
	h.options.Config.Hostname, h.options.Config.Labels = name, labels()
	// The name service knows no host that is down and has nobody to ask, which it
	// is slow to say: a resolver would wait for 20 s.
	h.options.HostConfig.DNSOptions = []string{"timeout:1", "attempts:1"}
	if len(on) > 0 {
		h.options.NetworkingConfig = &dc.NetworkingConfig{EndpointsConfig: map[string]*dc.EndpointConfig{
			on[0].Network.ID: h.endpoint(on[0]),
		}}
	}
	l.Cleanup(func() {
		if h.container != nil && h.container.Container != nil {
			if err := remove(h.container.Container.ID); err != nil {
				l.Error(err)
			}
		}
	})
	h.create(on...)
	l.hosts = append(l.hosts, h)
	return h
}

func (h *host) create(on ...*dockertest.Network) {
	h.lab.Helper()
	making.RLock()
	defer making.RUnlock()
	created, err := docker.Client.CreateContainer(h.options)
	h.lab.must(err)
	h.container = &dockertest.Resource{Container: created}
	for _, n := range on[min(1, len(on)):] {
		h.connect(n)
	}
	h.start()
	resource, ok := docker.ContainerByName("^/" + h.options.Name + "$")
	if !ok {
		h.lab.Fatalf("%s has gone", h.name)
	}
	h.container = resource
	for _, n := range on {
		h.address[n] = resource.GetIPInNetwork(n)
	}
}

// endpoint is how the host is reached on a network: by its name on the one on
// which it is watched, by its name and ".data" on the other. It keeps an address
// that it once had.
func (h *host) endpoint(n *dockertest.Network) *dc.EndpointConfig {
	e := &dc.EndpointConfig{Aliases: []string{h.name}}
	if n == h.lab.replicating {
		e.Aliases = []string{h.replica()}
	}
	if a := h.address[n]; a != "" {
		e.IPAMConfig = &dc.EndpointIPAMConfig{IPv4Address: a}
	}
	return e
}

// replica is the name of the host on the network for replication.
func (h *host) replica() string { return h.name + ".data" }

func (h *host) id() string { return h.container.Container.ID }

func (h *host) connect(n *dockertest.Network) {
	h.lab.Helper()
	h.lab.must(docker.Client.ConnectNetwork(n.Network.ID, dc.NetworkConnectionOptions{Container: h.id(), EndpointConfig: h.endpoint(n)}))
}

// cut takes the host from a network, as if its cable there were pulled.
func (h *host) cut(n *dockertest.Network) {
	h.lab.Helper()
	h.lab.must(docker.Client.DisconnectNetwork(n.Network.ID, dc.NetworkConnectionOptions{Container: h.id(), Force: true}))
}

// heal puts it back, under the same address.
func (h *host) heal(n *dockertest.Network) {
	h.lab.Helper()
	h.connect(n)
}

// mute lets the host send nothing to another any more, though it goes on to hear
// from it; unmute ends that.
func (h *host) mute(to *host, on *dockertest.Network)   { h.lab.Helper(); h.route("add", to, on) }
func (h *host) unmute(to *host, on *dockertest.Network) { h.lab.Helper(); h.route("del", to, on) }

func (h *host) route(verb string, to *host, on *dockertest.Network) {
	h.lab.Helper()
	h.exec("ip", "route", verb, "blackhole", to.address[on]+"/32")
}

func (h *host) start() {
	h.lab.Helper()
	h.lab.must(docker.Client.StartContainer(h.id(), nil))
}

// stop stops the host in order, which must take less than the time in seconds.
func (h *host) stop(within uint) {
	h.lab.Helper()
	h.lab.must(docker.Client.StopContainer(h.id(), within))
}

// kill is a power cut.
func (h *host) kill() {
	h.lab.Helper()
	h.lab.must(docker.Client.KillContainer(dc.KillContainerOptions{ID: h.id(), Signal: dc.SIGKILL}))
	h.lab.await(h.name+" has ended", func() (bool, error) {
		c, err := docker.Client.InspectContainer(h.id())
		return err == nil && !c.State.Running, err
	})
}

// pause freezes all processes of the host, the kernel goes on to answer for them.
func (h *host) pause()   { h.lab.Helper(); h.lab.must(docker.Client.PauseContainer(h.id())) }
func (h *host) unpause() { h.lab.Helper(); h.lab.must(docker.Client.UnpauseContainer(h.id())) }

// exec runs a command on the host and returns what it printed.
func (h *host) exec(command ...string) string {
	h.lab.Helper()
	text, err := h.try(command...)
	h.lab.must(err)
	return text
}

func (h *host) try(command ...string) (string, error) {
	var out, errs bytes.Buffer
	code, err := h.container.Exec(command, dockertest.ExecOptions{StdOut: &out, StdErr: &errs})
	if err == nil && code != 0 {
		err = fmt.Errorf("exit code %d: %s%s", code, out.String(), errs.String())
	}
	if err != nil {
		return "", fmt.Errorf("%s: %s: %w", h.name, strings.Join(command, " "), err)
	}
	return strings.TrimSpace(out.String()), nil
}

// log returns what the host has printed.
func (h *host) log() string {
	var text bytes.Buffer
	err := docker.Client.Logs(dc.LogsOptions{Container: h.id(), OutputStream: &text, ErrorStream: &text, Stdout: true, Stderr: true})
	if err != nil {
		return err.Error()
	}
	return text.String()
}
