package postgres

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"plusmoin/cluster"
)

// Weight says what a finding means for the monitor.
type Weight uint8

// The weights of a finding.
const (
	Fine    Weight = iota
	Note           // the monitor works, but knows or does less than it could
	Problem        // the monitor cannot do its work on this node
)

// Finding is one thing that was found out about a node.
type Finding struct {
	Weight Weight
	Text   string // without passwords
	// Remedies mend it, each by itself.
	Remedies []Remedy
}

// Remedy is what to do, ready to paste. It never holds a password.
type Remedy struct {
	Where string // such as "in psql, as a superuser"
	Lines []string
}

func (in *inspector) fine(text string) { in.Findings = append(in.Findings, Finding{Fine, text, nil}) }

func (in *inspector) note(text string, remedies ...Remedy) {
	in.Findings = append(in.Findings, Finding{Note, text, remedies})
}

func (in *inspector) problem(text string, remedies ...Remedy) {
	in.Findings = append(in.Findings, Finding{Problem, text, remedies})
}

// mend is a remedy in SQL for the database of the monitor.
func (in *inspector) mend(lines ...string) Remedy {
	return Remedy{"in psql, database " + in.about.Database + ", as a superuser", lines}
}

// judge says what the monitor can and cannot do on the node.
func (in *inspector) judge() {
	if in.about.Role == "" {
		in.Reason = cluster.ReasonBadAnswer
		in.problem(fmt.Sprintf("%s: it does not answer as PostgreSQL 10 and later do", in.Reason))
		return
	}
	in.fine(fmt.Sprintf("logged on as %s, database %s", in.about.Role, in.about.Database))
	if in.roleErr != nil {
		in.judgeNoRole(classify(in.roleErr))
	}
	in.judgeBetween()
	if in.Slave {
		in.judgeSlave()
	} else {
		in.judgeMaster()
	}
	in.judgeRoom()
	in.judgeAccount()
}

// judgeNoRole judges a failure of is_slave_statement, and takes the role to be
// what the server itself says. A statement that writes is not let to here, but
// is in a round.
func (in *inspector) judgeNoRole(f fault) {
	in.Slave = in.about.Recovering
	if f.reason == cluster.ReasonUnwritable && !in.readOnly.On && !in.Slave {
		in.note("is_slave_statement writes, so check does not run it: pg_is_in_recovery() says what this server is")
		return
	}
	in.Reason = f.reason
	in.problem(fmt.Sprintf("%s: is_slave_statement: %s", f.reason, f.text))
}

// judgeSlave judges what is read through a slave. What is wrong there came from
// its master.
func (in *inspector) judgeSlave() {
	switch {
	case in.rowErr != nil:
		f := classify(in.rowErr)
		in.problem(fmt.Sprintf("%s: table heartbeat cannot be read: %s. See its master", f.reason, f.text))
	case in.relation == nil:
		in.fine("no table heartbeat yet: the first beat on its master makes it")
	default:
		in.fine(fmt.Sprintf("may read table %s", in.relation.name()))
	}
}

// judgeMaster judges what a beat needs.
func (in *inspector) judgeMaster() {
	in.judgeReadOnly()
	in.judgeNumbers()
	if in.relation == nil {
		in.judgeNoTable()
	} else {
		in.judgeTable(in.relation)
	}
	in.judgeBlockers()
	in.judgeEvents()
	role := quoteName(in.about.Role)
	if !in.SeesStats {
		in.note("the role is no member of pg_read_all_stats. Without it slaves do not tell where they stream from: "+
			"a master that only plusmoin cannot reach looks dead, sync_blocked and upstream stay unknown, "+
			"and slaves that are not configured stay unseen here", in.mend("GRANT pg_read_all_stats TO "+role+";"))
	}
	if id := in.session.identity; id.SystemID == 0 && id.ServerVersion != 0 {
		in.note("the role may not run pg_control_system(): copies of other systems are taken for nodes of this one, and "+
			"one server with two names for two", in.mend("GRANT EXECUTE ON FUNCTION pg_catalog.pg_control_system() TO "+role+";"))
	}
	if in.Facts.SyncBlocked == cluster.Yes {
		in.note(fmt.Sprintf("commits wait for a synchronous standby that is not there (synchronous_standby_names = '%s'). "+
			"Beats do not wait: plusmoin shows sync_blocked, no master_down", in.conf["synchronous_standby_names"]))
	}
}

// judgeReadOnly judges default_transaction_read_only, which may be meant: it
// is one way to fence a master.
func (in *inspector) judgeReadOnly() {
	if !in.readOnly.On {
		return
	}
	role, database := quoteName(in.about.Role), quoteName(in.about.Database)
	const reset = "RESET default_transaction_read_only;"
	lines := []string{"ALTER SYSTEM SET default_transaction_read_only = off;", "SELECT pg_reload_conf();"}
	switch in.readOnly.Source {
	case "database":
		lines = writable("ALTER DATABASE " + database + " " + reset)
	case "user":
		lines = writable("ALTER ROLE " + role + " " + reset)
	case "database user":
		lines = writable("ALTER ROLE " + role + " IN DATABASE " + database + " " + reset)
	}
	in.problem(fmt.Sprintf("%s: the master is read-only: default_transaction_read_only is on, from %s. "+
		"No beat can be written. If it is not meant as a fence", cluster.ReasonUnwritable, in.readOnly.Source), in.mend(lines...))
}

// writable wraps a statement so that a session which is read-only itself can
// run it.
func writable(statement string) []string {
	return []string{"BEGIN READ WRITE;", statement, "COMMIT;"}
}

const createColumns = "(cluster_id INT, master TEXT, tstamp BIGINT, tstamp_us INT);"

// schema is where the table is or would be made.
func (in *inspector) schema() string { return name(cmp.Or(in.session.schema, "public")) }

// judgeNoTable says whether the first beat can make the table.
func (in *inspector) judgeNoTable() {
	role, schema := quoteName(in.about.Role), quoteName(in.schema())
	use := "GRANT USAGE, CREATE ON SCHEMA " + schema + " TO " + role + ";"
	switch {
	case !in.place.There:
		in.problem(fmt.Sprintf("%s: no table heartbeat, and no schema %s to make it in", cluster.ReasonMisconfigured, schema),
			in.mend("CREATE SCHEMA "+schema+";", use))
	case !in.place.MayUse:
		in.problem(fmt.Sprintf("%s: no table heartbeat, and no schema that the role may use", cluster.ReasonMisconfigured), in.mend(use))
	case !in.place.MayCreate:
		in.problem(fmt.Sprintf("%s: no table heartbeat, and the role may not make it in schema %s", cluster.ReasonMisconfigured, schema),
			in.mend("GRANT CREATE ON SCHEMA "+schema+" TO "+role+";"), in.mend(in.makeTable()...))
	default:
		in.fine(fmt.Sprintf("no table heartbeat yet: the first beat makes it in schema %s", schema))
	}
}

// makeTable makes the table in the role's stead.
func (in *inspector) makeTable() []string {
	schema := quoteName(in.schema())
	return []string{
		"CREATE TABLE " + schema + ".heartbeat", "  " + createColumns,
		"ALTER TABLE " + schema + ".heartbeat REPLICA IDENTITY FULL;",
		"ALTER TABLE " + schema + ".heartbeat OWNER TO " + quoteName(in.about.Role) + ";",
	}
}

func (r *relation) name() string { return quoteName(r.Schema) + ".heartbeat" }

// judgeTable judges a table that is there.
func (in *inspector) judgeTable(r *relation) {
	before := len(in.Findings)
	if kind, ok := otherKinds[r.Kind]; ok {
		in.judgeKind(r, kind)
		return
	}
	if lines := r.wrongColumns(); len(lines) > 0 {
		in.problem(fmt.Sprintf("%s: table %s lacks columns or has others than it should", cluster.ReasonMisconfigured, r.name()), in.mend(lines...))
	}
	if r.Unlogged {
		in.problem(fmt.Sprintf("%s: table %s is unlogged: no slave can read it", cluster.ReasonMisconfigured, r.name()),
			in.mend("ALTER TABLE "+r.name()+" SET LOGGED;"))
	}
	in.judgeRights(r)
	in.judgePolicy(r)
	in.judgeShape(r)
	if len(in.Findings) == before {
		in.judgeRows(r)
	}
	if len(in.Findings) == before {
		in.fine(fmt.Sprintf("may read and write table %s", r.name()))
	}
	if _, fine := r.Columns["tstamp_us"]; !fine && r.Owned {
		in.fine("column tstamp_us is not there yet: the first beat adds it")
	} else if !fine {
		in.note("the table has no column tstamp_us, and the role does not own it: lag is known to the second only",
			in.mend("ALTER TABLE "+r.name()+" ADD COLUMN tstamp_us INT;"),
			in.mend("ALTER TABLE "+r.name()+" OWNER TO "+quoteName(in.about.Role)+";"))
	}
	in.judgeBystanders(r)
}

// wrongColumns returns what gives the table the columns that it must have.
func (r *relation) wrongColumns() []string {
	var lines []string
	for _, c := range []struct {
		name, sort string
		like       []string
	}{
		{"cluster_id", "INT", []string{"smallint", "integer", "bigint"}},
		{"master", "TEXT", []string{"text", "character varying", "character", "name"}},
		{"tstamp", "BIGINT", []string{"integer", "bigint"}},
	} {
		is, there := r.Columns[c.name]
		is, _, _ = strings.Cut(is, "(")
		switch {
		case !there:
			lines = append(lines, fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s %s;", r.name(), c.name, c.sort))
		case !slices.Contains(c.like, is):
			lines = append(lines, fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s", r.name(), c.name),
				fmt.Sprintf("  TYPE %s USING %s::%s;", c.sort, c.name, c.sort))
		}
	}
	return lines
}

func (in *inspector) judgeRights(r *relation) {
	var missing []string
	if !r.MaySelect {
		missing = append(missing, "SELECT")
	}
	if !r.MayUpdate {
		missing = append(missing, "UPDATE")
	}
	if r.MaySelect && in.table.empty && !r.MayInsert {
		missing = append(missing, "INSERT")
	}
	if !r.MayUse {
		in.problem(fmt.Sprintf("%s: the role may not use schema %s", cluster.ReasonMisconfigured, quoteName(r.Schema)),
			in.mend("GRANT USAGE ON SCHEMA "+quoteName(r.Schema)+" TO "+quoteName(in.about.Role)+";"))
	}
	if len(missing) == 0 {
		return
	}
	rights := strings.Join(missing, ", ")
	in.problem(fmt.Sprintf("%s: the role has no right to %s on table %s", cluster.ReasonMisconfigured, rights, r.name()),
		in.mend("GRANT "+rights+" ON TABLE "+r.name()+" TO "+quoteName(in.about.Role)+";"))
}

// judgeRows judges what the table holds. What is suggested keeps the id that a
// row has.
func (in *inspector) judgeRows(r *relation) {
	switch {
	case in.rows > 1:
		order := "tstamp DESC NULLS LAST"
		if _, fine := r.Columns["tstamp_us"]; fine {
			order += ", tstamp_us DESC NULLS LAST"
		}
		in.problem(fmt.Sprintf("%s: table %s must hold one row and holds %s. While no monitor runs, "+
			"this keeps the one that names this server, else the newest", cluster.ReasonMisconfigured, r.name(), counted(in.rows)),
			in.mend("DELETE FROM "+r.name()+" WHERE ctid <> (", "  SELECT ctid FROM "+r.name(),
				"  ORDER BY coalesce(master IN ("+strings.Join(rowNames(in.Node), ", ")+"), false) DESC,",
				"    "+order+" LIMIT 1);"))
	case in.rowErr != nil && classify(in.rowErr).reason != cluster.ReasonMisconfigured:
		in.problem(fmt.Sprintf("%s: the row cannot be read: %s", classify(in.rowErr).reason, classify(in.rowErr).text))
	case in.rowErr != nil:
		in.problem(fmt.Sprintf("%s: %s", classify(in.rowErr).reason, classify(in.rowErr).text),
			in.mend("UPDATE "+r.name()+" SET cluster_id = coalesce(cluster_id, -1),",
				"  master = coalesce(master, '-'), tstamp = coalesce(tstamp, 0);"))
	case in.table.empty:
		in.fine(fmt.Sprintf("table %s is empty: the first beat inserts its row", r.name()))
	}
}

// rowNames returns the literals by which rows can name a node: the original wrote
// IPv6 addresses without brackets.
func rowNames(n cluster.Node) []string {
	names := []string{literal(n.String())}
	if strings.Contains(n.Host, ":") {
		names = append(names, literal(fmt.Sprintf("%s:%d", n.Host, n.Port)))
	}
	return names
}

func counted(rows int) string {
	if rows >= 1000 {
		return "1000 or more"
	}
	return fmt.Sprint(rows)
}

// judgeRoom judges whether the monitor will find a free connection: it needs
// one more than it keeps whenever it renews that.
func (in *inspector) judgeRoom() {
	most := in.confNumber("max_connections") - in.confNumber("superuser_reserved_connections") - in.confNumber("reserved_connections")
	free := most - in.about.Used
	if most <= 0 || free >= 3 {
		return
	}
	in.note(fmt.Sprintf("%d of %d connections that ordinary roles may have are in use: "+
		"soon plusmoin cannot connect or renew its connection", in.about.Used, most),
		Remedy{"to see whose they are, in psql", whoConnects()})
}

func whoConnects() []string {
	return []string{"SELECT usename, application_name, client_addr, count(*)",
		"  FROM pg_stat_activity GROUP BY 1, 2, 3 ORDER BY 4 DESC;"}
}

// networkHint says where to look when the server said nothing.
func networkHint(r cluster.Reason) string {
	switch r {
	case cluster.ReasonRefused:
		return "nothing listens there: check host and port, that the server runs, and its listen_addresses"
	case cluster.ReasonTimeout, cluster.ReasonUnreachable:
		return "check that the host is up, and firewalls and routes in between"
	case cluster.ReasonDNS:
		return "check host in the configuration, and the resolver of this machine"
	}
	return ""
}

// plainName is a name that SQL takes as it stands, unless it is a word of SQL.
var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// sqlWords are those that somebody may well call a role, a database or a schema.
const sqlWords = " all analyse analyze any array as asc both case check collate column create current_role current_user " +
	"default desc do else end except for foreign from grant group having in into leading limit localtime not null offset on " +
	"only or order placing primary public references returning select session_user some table then to trailing true union " +
	"unique user using variadic when where window with "

// quoteName returns a name as SQL takes it.
func quoteName(name string) string {
	if plainName.MatchString(name) && (name == "public" || !strings.Contains(sqlWords, " "+name+" ")) {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}
