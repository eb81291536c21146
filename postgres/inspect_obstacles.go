package postgres

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"plusmoin/cluster"
)

// This file judges what keeps a beat out of a table that looks well, and what
// stands between us and the server. Nothing of it is tried: it is read, so that a
// trigger or a check that refuses beats cannot be told from one that does not.

// otherKinds are what has the name of the table and is none, and the words of SQL
// for it.
var otherKinds = map[string]string{
	"v": "view", "m": "materialized view", "f": "foreign table", "p": "table", "S": "sequence", "i": "index", "I": "index", "c": "type",
}

// judgeKind judges what is no table. It is put aside, not dropped.
func (in *inspector) judgeKind(r *relation, kind string) {
	aside := in.mend("ALTER " + strings.ToUpper(kind) + " " + r.name() + " RENAME TO heartbeat_old;")
	if kind == "table" {
		kind = "partitioned table"
	}
	in.problem(fmt.Sprintf("%s: %s is a %s and no plain table. Renamed, it leaves its name to the table that the first beat makes",
		cluster.ReasonMisconfigured, r.name(), kind), aside)
}

// judgePolicy judges row level security, which hides rows and says nothing.
func (in *inspector) judgePolicy(r *relation) {
	if !r.Policed || r.Open {
		return
	}
	remedy := in.mend("CREATE POLICY plusmoin ON "+r.name()+" TO "+quoteName(in.about.Role),
		"  USING (true) WITH CHECK (true);")
	if in.table.empty {
		in.problem(fmt.Sprintf("%s: row level security hides the rows of table %s from the role, if there are any, and may refuse its beats",
			cluster.ReasonMisconfigured, r.name()), remedy)
		return
	}
	in.note(fmt.Sprintf("row level security holds for the role on table %s: a policy may refuse its beats", r.name()), remedy)
}

// judgeShape judges what refuses every beat by the definition of the table.
func (in *inspector) judgeShape(r *relation) {
	alter := func(format string, columns []string) (lines []string) {
		for _, c := range columns {
			lines = append(lines, "ALTER TABLE "+r.name()+" ALTER COLUMN "+quoteName(c)+" "+format+";")
		}
		return lines
	}
	refuse := func(words string, columns []string, lines []string) {
		if len(columns) > 0 {
			in.problem(fmt.Sprintf("%s: table %s refuses beats: %s %s", cluster.ReasonMisconfigured, r.name(), listed(columns), words), in.mend(lines...))
		}
	}
	refuse("takes no value (GENERATED ALWAYS AS IDENTITY)", r.Identities, alter("DROP IDENTITY", r.Identities))
	drop := alter("DROP EXPRESSION", r.Generated)
	if major(in.session.conn.version) < 13 {
		drop = nil // it has to be made anew
		for _, c := range r.Generated {
			drop = append(drop, "ALTER TABLE "+r.name()+" DROP COLUMN "+quoteName(c)+";",
				"ALTER TABLE "+r.name()+" ADD COLUMN "+quoteName(c)+" "+sqlTypes[c]+";")
		}
	}
	refuse("is computed (GENERATED ALWAYS AS)", r.Generated, drop)
	if in.table.empty {
		refuse("must not be null, which the first row leaves it", r.Required, alter("DROP NOT NULL", r.Required))
	}
	if r.Published && !r.Identified {
		in.problem(fmt.Sprintf("%s: table %s is published and has no replica identity: the server refuses every beat (SQLSTATE 55000)",
			cluster.ReasonMisconfigured, r.name()), in.mend("ALTER TABLE "+r.name()+" REPLICA IDENTITY FULL;"))
	}
	for _, rule := range r.Rules {
		in.problem(fmt.Sprintf("%s: rule %s of table %s changes what a beat does", cluster.ReasonMisconfigured, quoteName(rule), r.name()),
			in.mend("ALTER TABLE "+r.name()+" DISABLE RULE "+quoteName(rule)+";"))
	}
}

var sqlTypes = map[string]string{"cluster_id": "INT", "master": "TEXT", "tstamp": "BIGINT", "tstamp_us": "INT"}

// judgeBystanders names what takes part in every beat and may be well.
func (in *inspector) judgeBystanders(r *relation) {
	each := func(names []string, format string) (lines []string) {
		for _, n := range names[:min(len(names), 5)] {
			lines = append(lines, "ALTER TABLE "+r.name()+" "+format+" "+quoteName(n)+";")
		}
		return lines
	}
	if len(r.Triggers) > 0 {
		in.note(fmt.Sprintf("at every beat %s of table %s runs: an error of it refuses the beat. If it is not needed",
			"trigger "+listed(r.Triggers), r.name()), in.mend(each(r.Triggers, "DISABLE TRIGGER")...))
	}
	if len(r.Checks) > 0 {
		in.note(fmt.Sprintf("constraint %s of table %s may refuse beats. If it is not needed", listed(r.Checks), r.name()),
			in.mend(each(r.Checks, "DROP CONSTRAINT")...))
	}
}

// judgeBlockers names who holds the table or its row.
func (in *inspector) judgeBlockers() {
	for _, b := range in.blockers {
		since := ""
		if b.Seconds != nil && *b.Seconds >= 0 {
			since = ", for " + (time.Duration(min(*b.Seconds, 1e9)) * time.Second).String()
		}
		if b.GID != "" {
			in.problem(fmt.Sprintf("%s: the prepared transaction %s holds the heartbeat table%s: no beat can be written until it ends. "+
				"One of the two, as whoever prepared it knows", cluster.ReasonUnwritable, literal(b.GID), since),
				in.mend("ROLLBACK PREPARED "+literal(b.GID)+";"), in.mend("COMMIT PREPARED "+literal(b.GID)+";"))
			continue
		}
		who := fmt.Sprintf("pid %d", b.PID)
		if b.PID == 0 {
			who = "a prepared transaction"
		}
		if b.Role != "" {
			who += fmt.Sprintf(", role %s, %q", b.Role, b.Application)
		}
		text := fmt.Sprintf("%s: a session (%s) holds the heartbeat table or its row%s (%s): no beat can be written until it ends",
			cluster.ReasonUnwritable, who, since, b.Mode)
		if b.PID == 0 {
			in.problem(text)
			continue
		}
		in.problem(text, in.mend(fmt.Sprintf("SELECT pg_terminate_backend(%d);", b.PID)))
	}
}

// numbersLeft are how many transaction numbers before their end a server takes no
// more, and how many before that we say so.
const (
	numbersAll    = 1<<31 - 1
	numbersOld    = 1_000_000 // up to version 13
	numbersNew    = 3_000_000
	numbersNotice = 40_000_000
)

// judgeNumbers tells of a server that protects itself from running out of
// transaction numbers: it reads, and writes nothing.
func (in *inspector) judgeNumbers() {
	stop := int64(numbersAll - numbersNew)
	if major(in.session.conn.version) < 14 {
		stop = numbersAll - numbersOld
	}
	var lines []string
	for _, d := range in.oldest {
		if d.Age >= numbersAll-numbersNotice {
			lines = append(lines, `\connect `+quoteName(d.Database), "VACUUM;")
		}
	}
	if len(lines) == 0 {
		return
	}
	worst, db := in.oldest[0].Age, quoteName(in.oldest[0].Database)
	remedy := Remedy{"in psql as a superuser; first end what is older: prepared transactions, open transactions, replication slots that nobody uses", lines}
	if worst >= stop {
		in.problem(fmt.Sprintf("%s: the server takes no more commands that write, lest it runs out of transaction numbers: "+
			"the oldest in database %s is %d back", cluster.ReasonUnwritable, db, worst), remedy)
		return
	}
	in.note(fmt.Sprintf("the server will soon take no more commands that write: the oldest transaction number, "+
		"in database %s, is %d back, and %d are left", db, worst, stop-worst), remedy)
}

// judgeEvents tells of event triggers that run when the first beat makes the
// table or its column.
func (in *inspector) judgeEvents() {
	missing := in.relation == nil
	coarse := false
	if !missing {
		_, fine := in.relation.Columns["tstamp_us"]
		coarse = !fine && in.relation.Owned
	}
	events := slices.DeleteFunc(slices.Clone(in.events), func(e eventTrigger) bool { return !(missing && e.Creating || coarse && e.Altering) })
	if len(events) == 0 {
		return
	}
	does, lines := "makes the table", in.makeTable()
	if coarse {
		does, lines = "adds column tstamp_us", []string{"ALTER TABLE " + in.relation.name() + " ADD COLUMN tstamp_us INT;"}
	}
	text := []string{"BEGIN;"}
	var names, after []string
	for _, e := range events {
		n, enable := quoteName(e.Name), "ENABLE"
		if e.Always {
			enable = "ENABLE ALWAYS"
		}
		names = append(names, e.Name)
		text = append(text, "ALTER EVENT TRIGGER "+n+" DISABLE;")
		after = append(after, "ALTER EVENT TRIGGER "+n+" "+enable+";")
	}
	text = append(append(append(text, lines...), after...), "COMMIT;")
	in.note(fmt.Sprintf("event trigger %s runs when the first beat %s, and may refuse that. If so, this does it", listed(names), does), in.mend(text...))
}

// judgeBetween tells of what is not the server itself.
func (in *inspector) judgeBetween() {
	if in.mixed {
		in.problem(fmt.Sprintf("%s: the answers come from different servers, so there is a proxy such as pgpool2 in between: "+
			"write host and port of the server itself", cluster.ReasonBadAnswer))
		return
	}
	if in.Pooled {
		in.note("a connection pooler such as pgbouncer or pgpool2 answers in the server's place, which plusmoin then cannot tell from it: " +
			"write host and port of the server itself")
		return
	}
	if here := in.Facts.ServerPort; here != 0 && in.ClientAddr != "" && here != in.Node.Port {
		in.note(fmt.Sprintf("the server itself listens on port %d: its address is translated in between, which does no harm, or there is a proxy "+
			"that may lead to another server: then write host and port of the server itself", here))
	}
}

const (
	// Whoever renews a connection needs another, and check a third.
	sessionsNeeded = 3
	// A password that ends within that time is told of.
	expiryNotice = 14 * 24 * time.Hour
)

// judgeAccount judges what will keep the role out.
func (in *inspector) judgeAccount() {
	if in.account == nil || in.Slave {
		return
	}
	role := quoteName(in.about.Role)
	if limit := in.account.Limit; limit >= 0 && limit < sessionsNeeded {
		in.note(fmt.Sprintf("the role may have %d connections at once: plusmoin keeps one and needs another when it renews that, and check one",
			limit), in.mend(fmt.Sprintf("ALTER ROLE %s CONNECTION LIMIT %d;", role, sessionsNeeded)))
	}
	if e := in.account.Expires; e != nil && time.Duration(min(*e, 1e9))*time.Second < expiryNotice {
		when := "is over"
		if *e > 0 {
			when = "ends within " + (time.Duration(*e) * time.Second).Round(time.Hour).String()
		}
		in.note(fmt.Sprintf("the time for which the password of the role is valid %s (VALID UNTIL). If the role is to stay", when),
			in.mend("ALTER ROLE "+role+" VALID UNTIL 'infinity';"))
	}
}

// listed writes a few names.
func listed(names []string) string {
	const most = 5
	text := strings.Join(names[:min(len(names), most)], ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
