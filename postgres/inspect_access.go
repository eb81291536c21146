package postgres

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"plusmoin/cluster"
)

// access is what a connection was asked for as.
type access struct {
	user, database string
	node           cluster.Node
	tls            bool // the settings demand it
}

// onMaster is where what is shared by master and slaves is mended. Whether the
// node is a slave is not known while it lets nobody in.
func onMaster(lines ...string) Remedy {
	return Remedy{"in psql on the node, or on its master if it is a slave, as a superuser", lines}
}

// afterRefusal returns what makes a server let us in. Where one SQLSTATE has
// several causes they are told apart by text, which not every server writes in
// English: then all of them are named.
func (a access) afterRefusal(e *pgconn.PgError) []Remedy {
	role, database := quoteName(a.user), quoteName(a.database)
	says := func(words string) bool { return strings.Contains(e.Message, words) }
	create := onMaster("CREATE ROLE "+role+" LOGIN;", `\password `+role)
	switch {
	case e.Code == "28000" && says("does not exist"):
		return []Remedy{create}
	case e.Code == "28000" && says("not permitted to log in"):
		return []Remedy{onMaster("ALTER ROLE " + role + " LOGIN;")}
	case e.Code == "28000":
		return []Remedy{a.hba(e.Message)}
	case e.Code == "28P01":
		set := onMaster(`\password ` + role)
		set.Where += ", if the role is there"
		create.Where += ", if it is not"
		return []Remedy{set, create}
	case e.Code == "3D000":
		return []Remedy{onMaster("CREATE DATABASE " + database + " OWNER " + role + ";")}
	case e.Code == "42501":
		return []Remedy{onMaster("GRANT CONNECT ON DATABASE " + database + " TO " + role + ";")}
	case e.Code == "55000":
		return []Remedy{onMaster("ALTER DATABASE " + database + " ALLOW_CONNECTIONS true;")}
	case e.Code == "53300" && says("for role"):
		return []Remedy{onMaster("ALTER ROLE " + role + " CONNECTION LIMIT -1;")}
	case e.Code == "53300" && says("for database"):
		return []Remedy{onMaster("ALTER DATABASE " + database + " CONNECTION LIMIT -1;")}
	case e.Code == "53300":
		return []Remedy{{"to see who is connected, in psql on the node, as a superuser", whoConnects()}}
	case notNow(e) == cluster.ReasonNotAccepting && e.Code == "57P03":
		return []Remedy{{"if it is a slave, in its postgresql.conf, followed by a restart", []string{"hot_standby = on"}}}
	}
	return nil
}

// hba is the line that lets us in. It must stand above one that rejects us.
func (a access) hba(message string) Remedy {
	fields := []string{"local", hbaName(a.database), hbaName(a.user), "scram-sha-256"}
	if !strings.HasPrefix(a.node.Host, "/") {
		kind := "host"
		if a.tls {
			kind = "hostssl"
		}
		fields = []string{kind, hbaName(a.database), hbaName(a.user), hbaAddress(a.clientAddress(message)), "scram-sha-256"}
	}
	return Remedy{
		"in pg_hba.conf of the node, above lines that match too, then SELECT pg_reload_conf();",
		[]string{strings.Join(fields, "    ")},
	}
}

var clientInMessage = regexp.MustCompile(`host "([^"]+)"`)

// clientAddress returns our address as the server sees it, which it names when
// it has no line for us; else as this machine would choose it, which is another
// if addresses are translated in between.
func (a access) clientAddress(message string) string {
	if found := clientInMessage.FindStringSubmatch(message); found != nil {
		return found[1]
	}
	return ownAddress(a.node)
}

func hbaAddress(text string) string {
	address, err := netip.ParseAddr(text)
	if err != nil {
		return "samenet"
	}
	address = address.Unmap().WithZone("")
	return fmt.Sprintf("%s/%d", address, address.BitLen())
}

var plainHBAName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// hbaName returns a name as pg_hba.conf takes it: some words mean something
// unless they are quoted.
func hbaName(name string) string {
	switch name {
	case "all", "sameuser", "samerole", "samegroup", "replication":
		return `"` + name + `"`
	}
	if plainHBAName.MatchString(name) {
		return name
	}
	return `"` + name + `"`
}
