package config

import (
	"fmt"
	"math"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/tailscale/hujson"

	"plusmoin/cluster"
)

const defaultPort = 5432

// limits are the lags that hold for all nodes that do not say otherwise.
type limits struct {
	known    bool // false if they are wrong themselves
	max      time.Duration
	recovery time.Duration
}

// nodes returns the nodes of a key. Each server may stand there once.
func (s *section) nodes(key string, global limits) []cluster.NodeConfig {
	e, ok := s.take(key)
	if !ok {
		return nil
	}
	list, ok := e.elements()
	if !ok {
		return nil
	}
	nodes := make([]cluster.NodeConfig, 0, len(list))
	seen := map[cluster.Node]element{}
	for _, e := range list {
		s, ok := e.section()
		if !ok {
			continue
		}
		node := s.node(global)
		s.close()
		if !s.sound("host", "port") {
			continue
		}
		same := cluster.Node{Host: canonical(node.Node.Host), Port: node.Node.Port}
		if first, twice := seen[same]; twice {
			e.wrong("%s is the same server as %s on line %d", node.Node, first.path, first.line)
			continue
		}
		seen[same] = e
		nodes = append(nodes, node)
	}
	return nodes
}

// node returns one entry of the list.
func (s *section) node(global limits) cluster.NodeConfig {
	node := cluster.NodeConfig{
		Node:        cluster.Node{Host: s.host("host"), Port: s.port("port")},
		ClusterName: s.text("cluster_name", ""),
	}
	s.limits(&node, global)
	return node
}

// limits fills in the lags of a node. With only the upper one of its own, a
// node keeps the distance between the two global ones.
func (s *section) limits(node *cluster.NodeConfig, global limits) {
	_, node.OwnLimit = s.take("max_sync_delay")
	node.MaxSyncDelay = s.seconds("max_sync_delay", global.max)
	fallback := global.recovery
	if node.OwnLimit {
		fallback = max(0, node.MaxSyncDelay-(global.max-global.recovery))
	}
	node.RecoverSyncDelay = s.seconds("recover_sync_delay", fallback)
	if node.OwnLimit || global.known {
		s.checkLimits(node.MaxSyncDelay, node.RecoverSyncDelay)
	}
}

// checkLimits notes it when a lag is enough to come up and to go down again.
func (s *section) checkLimits(most, recovery time.Duration) {
	e, given := s.take("recover_sync_delay")
	if given && recovery > most && s.sound("max_sync_delay", "recover_sync_delay") {
		e.wrong("%s is more than the max_sync_delay of %s", inSeconds(recovery), inSeconds(most))
	}
}

// port returns the port of a key. The Python plusmoin took one in quotes too.
func (s *section) port(key string) int {
	e, ok := s.take(key)
	if !ok {
		return defaultPort
	}
	if literal, ok := e.value.(hujson.Literal); ok && isNumber(quoted(literal)) {
		e.sheet.warnings = append(e.sheet.warnings, Warning{e.line, e.path, "write the number without quotes"})
		e.value = hujson.Literal(quoted(literal))
	}
	n, ok := e.number("a number from 1 to 65535")
	if ok && (n < 1 || n > 65535 || n != math.Trunc(n)) {
		e.wrong("must be a whole number from 1 to 65535")
		return 0
	}
	return int(n)
}

// quoted returns what a string says, without the space around it; "" if the
// literal is no string.
func quoted(literal hujson.Literal) string {
	if literal.Kind() != '"' {
		return ""
	}
	return strings.TrimSpace(literal.String())
}

// host returns the host of a key: a name, an address without brackets or the
// absolute path of a directory.
func (s *section) host(key string) string {
	text := s.required(key)
	if !s.sound(key) {
		return ""
	}
	host, err := parseHost(text)
	if err != nil {
		s.members[key].wrong("%v", err)
	}
	return host
}

func parseHost(text string) (string, error) {
	if strings.HasPrefix(text, "/") {
		return text, nil
	}
	if inner, ok := strings.CutPrefix(text, "["); ok {
		inner, closed := strings.CutSuffix(inner, "]")
		if address, err := netip.ParseAddr(inner); closed && err == nil && address.Is6() {
			return inner, nil
		}
		return "", fmt.Errorf("%.60q is no IPv6 address in brackets; the port is a key of its own", text)
	}
	if _, err := netip.ParseAddr(text); err == nil {
		return text, nil
	}
	if name, port, ok := strings.Cut(text, ":"); ok && isHostName(name) && isNumber(port) {
		return "", fmt.Errorf("%.60q has a port, which is a key of its own", text)
	}
	if !isHostName(text) {
		return "", fmt.Errorf("%.60q is no host name, IP address or absolute path of a socket directory", text)
	}
	return text, nil
}

// isHostName says that text can be a name in the DNS or in /etc/hosts. A name
// whose last part is a number would be an address with a mistake in it.
func isHostName(text string) bool {
	labels := strings.Split(strings.TrimSuffix(text, "."), ".")
	if len(text) > 253 || isNumber(labels[len(labels)-1]) {
		return false
	}
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, notInName) {
			return false
		}
	}
	return true
}

func notInName(r rune) bool {
	return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

func isNumber(text string) bool {
	_, err := strconv.ParseUint(text, 10, 64)
	return err == nil
}

// canonical returns the one form of all spellings of a host.
func canonical(host string) string {
	if strings.HasPrefix(host, "/") {
		return path.Clean(host)
	}
	if address, err := netip.ParseAddr(host); err == nil {
		return address.Unmap().String()
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
