package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"plusmoin/cluster"
	"plusmoin/config"
	"plusmoin/postgres"
	"plusmoin/status"
)

const (
	// checkConnect bounds what connect_timeout lets a check wait.
	checkConnect = 10 * time.Second
	// checkWatch bounds for how long a check watches the rows of masters.
	checkWatch = 3 * time.Second
)

func checkCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "tell what plusmoin can see and do on every node, and what to fix",
		Long: `Read the configuration, connect to every node and tell what plusmoin can see and
do there. Where something is missing it prints the lines that mend
it, ready to paste. It writes nothing on the servers, and may be used while
plusmoin runs.

It exits with 1 if something keeps plusmoin from its work, else with 0.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, cfg, warnings, err := o.load()
			if err != nil {
				return err
			}
			c := check{cfg: cfg, path: path, running: runningMonitor(cfg), addresses: lookupHosts(cmd.Context(), cfg)}
			if c.seen, err = inspectNodes(cmd.Context(), cfg); err != nil {
				return err
			}
			c.now = time.Now()
			var text bytes.Buffer
			ill := c.write(printer{&text, colourful(cmd.OutOrStdout())}, path, warnings)
			if _, err := text.WriteTo(cmd.OutOrStdout()); err != nil {
				return fmt.Errorf("printing the check: %w", err)
			}
			return ill
		},
	}
}

// check is what a check judges by.
type check struct {
	cfg       config.Config
	path      string // of the configuration
	now       time.Time
	seen      []postgres.Inspection // in the order of the nodes
	running   *status.Document      // of plusmoin on this machine; nil if it does not run
	addresses map[string][]string   // of hosts
}

// write writes everything. Its error says nothing, but sets the exit code.
func (c check) write(p printer, path string, warnings []config.Warning) error {
	general := c.general(warnings)
	p.configuration(path, general)
	reports := c.reports()
	for _, r := range reports {
		p.node(r)
	}
	p.delays(delaysOf(c.cfg))
	return p.summary(general, reports)
}

// general judges the configuration by itself, and this machine by it.
func (c check) general(warnings []config.Warning) []postgres.Finding {
	var found []postgres.Finding
	for _, w := range warnings {
		found = append(found, note("%s", w.String()))
	}
	if len(found) == 0 {
		found = append(found, fine("valid"))
	}
	return slices.Concat(found, c.descriptors(), c.machine(c.path))
}

// descriptors tells that a plusmoin started from where the check is would be
// refused for its number of nodes. One that runs was not: it has a limit of its
// own.
func (c check) descriptors() []postgres.Finding {
	err := postgres.CheckDescriptors(len(c.cfg.Nodes))
	if err == nil {
		return nil
	}
	f := problem("resources: %v, if plusmoin is started from here. Raise the limit, as root, where it is started: %s", err, limitPlaces)
	if c.running != nil {
		f.Weight = postgres.Note
	}
	return []postgres.Finding{f}
}

// inspectNodes looks at all nodes at once.
func inspectNodes(ctx context.Context, cfg config.Config) ([]postgres.Inspection, error) {
	settings := connections(cfg)
	settings.ConnectTimeout = min(settings.ConnectTimeout, checkConnect)
	nodes := make([]cluster.Node, len(cfg.Nodes))
	for i, n := range cfg.Nodes {
		nodes[i] = n.Node
	}
	return postgres.Inspect(ctx, settings, nodes, min(cfg.Heartbeat.Interval+500*time.Millisecond, checkWatch))
}

// runningMonitor returns what plusmoin says in its status file if that shows
// that it runs.
func runningMonitor(cfg config.Config) *status.Document {
	doc, err := status.Read(cfg.StatusFile)
	if err != nil || doc.State == status.Stopped {
		return nil
	}
	if time.Since(doc.UpdatedAt) > 2*longestGap(cfg.Heartbeat, doc.UpdatedAt)+15*time.Second {
		return nil
	}
	return &doc
}

// lookupHosts returns the addresses of the hosts of the nodes. That one has
// none is told by connecting to it.
func lookupHosts(ctx context.Context, cfg config.Config) map[string][]string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	found := map[string][]string{}
	for _, n := range cfg.Nodes {
		host := n.Node.Host
		if _, known := found[host]; known {
			continue
		}
		addresses, err := net.DefaultResolver.LookupHost(ctx, host)
		if err != nil {
			addresses = nil
		}
		found[host] = addresses
	}
	return found
}

// report is what is to be said of one node.
type report struct {
	postgres.Inspection
	findings []postgres.Finding
}

// reports judges the nodes, by themselves and together.
func (c check) reports() []report {
	reports := make([]report, len(c.seen))
	for i, seen := range c.seen {
		findings := append([]postgres.Finding{}, seen.Findings...)
		if seen.Reason == "" {
			findings = append(findings, c.rowFindings(seen)...)
			findings = append(findings, c.aliases(i)...)
			if seen.Slave {
				findings = append(findings, c.slaveFindings(i)...)
			} else {
				findings = append(findings, c.masterFindings(i)...)
			}
		}
		reports[i] = report{seen, findings}
	}
	return reports
}

func note(format string, values ...any) postgres.Finding {
	return postgres.Finding{Weight: postgres.Note, Text: fmt.Sprintf(format, values...)}
}

func problem(format string, values ...any) postgres.Finding {
	return postgres.Finding{Weight: postgres.Problem, Text: fmt.Sprintf(format, values...)}
}

func fine(format string, values ...any) postgres.Finding {
	return postgres.Finding{Weight: postgres.Fine, Text: fmt.Sprintf(format, values...)}
}
