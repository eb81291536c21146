package triggers

import (
	"slices"
	"strconv"
	"strings"

	"plusmoin/cluster"
)

// withoutPasswords returns the environment without what may hold a password of
// the database: PGPASSWORD, PGSSLPASSWORD and whatever else of PostgreSQL's or
// plusmoin's is named so. It always makes a new list.
func withoutPasswords(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		ours := strings.HasPrefix(name, "PG") || strings.HasPrefix(name, "PLUSMOIN")
		return ours && strings.Contains(name, "PASSWORD")
	})
}

// environ returns the environment of the command of e. Where a variable is
// there twice, exec takes the later.
func environ(s Settings, e cluster.Event) []string {
	return slices.Concat(s.Environ, []string{
		"PLUSMOIN_EVENT=" + string(e.Kind),
		"PLUSMOIN_EVENT_ID=" + strconv.FormatInt(e.ID, 10),
		"PLUSMOIN_CLUSTER_ID=" + strconv.Itoa(e.Cluster),
		"PLUSMOIN_NODE=" + nodeName(e),
		"PLUSMOIN_STATUS_FILE=" + s.StatusFile,
	})
}
