package postgres

import (
	"fmt"
	"slices"
	"strings"

	"plusmoin/cluster"
)

// method is a way to log on, by libpq's word for it in require_auth.
type method string

const (
	methodPassword method = "password"
	methodMD5      method = "md5"
	methodGSS      method = "gss"
	methodSSPI     method = "sspi"
	methodSCRAM    method = "scram-sha-256"
	methodNone     method = "none"
)

var methods = [...]method{methodPassword, methodMD5, methodGSS, methodSSPI, methodSCRAM, methodNone}

// policy says which methods a server may ask for.
type policy struct {
	words   string   // of require_auth, "" if nothing is required
	allowed []method // nil if nothing is required
	clear   bool     // a password may be sent as it is over any connection
}

// parsePolicy reads require_auth: words with commas between them, all of them
// with ! before or none.
func parsePolicy(words string) (policy, error) {
	if words == "" {
		return policy{}, nil
	}
	p := policy{words: words}
	not := strings.HasPrefix(strings.TrimSpace(words), "!")
	var named []method
	for word := range strings.SplitSeq(words, ",") {
		word = strings.TrimSpace(word)
		name, negated := strings.CutPrefix(word, "!")
		m := method(name)
		switch {
		case !slices.Contains(methods[:], m):
			return policy{}, fmt.Errorf("require_auth: %q is none of %s", name, strings.Trim(fmt.Sprint(methods), "[]"))
		case negated != not:
			return policy{}, fmt.Errorf("require_auth: %q: either all methods have ! before them or none", word)
		case slices.Contains(named, m):
			return policy{}, fmt.Errorf("require_auth: %q is named twice", name)
		}
		named = append(named, m)
	}
	for _, m := range methods {
		if slices.Contains(named, m) != not {
			p.allowed = append(p.allowed, m)
		}
	}
	p.clear = !not && slices.Contains(named, methodPassword)
	return p, nil
}

// check says what is against a method that a server asks for.
func (p policy) check(m method) error {
	if p.words == "" || slices.Contains(p.allowed, m) {
		return nil
	}
	if m == methodNone {
		return wrong{cluster.ReasonAuth, fmt.Sprintf("the server let us in without authentication, and require_auth is %q", p.words)}
	}
	return wrong{cluster.ReasonAuth, fmt.Sprintf("the server asks for authentication by %s, and require_auth is %q", m, p.words)}
}
