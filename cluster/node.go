package cluster

import (
	"strconv"
	"strings"
)

// Node is a PostgreSQL server under the name it is configured by. Host is a
// host name, an IP address or the directory of a Unix socket. It is comparable
// and serves as a map key.
type Node struct {
	Host string
	Port int
}

// String returns host:port, with an IPv6 address in brackets. It is the name
// a master is written under in the heartbeat table.
func (n Node) String() string {
	return join(n.Host, strconv.Itoa(n.Port))
}

func join(host, port string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]:" + port
	}
	return host + ":" + port
}

// CanonicalName rewrites the name of a master as read from a row to the form
// that Node.String gives: the Python plusmoin wrote IPv6 addresses without
// brackets. A name that is no host and port is returned as it is.
func CanonicalName(name string) string {
	i := strings.LastIndexByte(name, ':')
	if i < 0 {
		return name
	}
	host, port := name[:i], name[i+1:]
	if !strings.Contains(host, ":") || strings.HasPrefix(host, "[") {
		return name
	}
	return join(host, port)
}

// nodeOf is the inverse of Node.String. Of a name that is no host and port it
// makes a node with port 0.
func nodeOf(name string) Node {
	i := strings.LastIndexByte(name, ':')
	port, err := strconv.Atoi(name[i+1:])
	if i < 0 || err != nil {
		return Node{Host: name}
	}
	return Node{Host: strings.Trim(name[:i], "[]"), Port: port}
}
