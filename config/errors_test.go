package config

import (
	"errors"
	"strings"
	"testing"
)

// check compares the error of a text with what it should read.
func check(t *testing.T, text, want string) {
	t.Helper()
	cfg, _, err := Parse([]byte(text))
	if err == nil {
		t.Errorf("%s\ngives no error but %+v\nwant %s", text, cfg, want)
		return
	}
	var list Errors
	if !errors.As(err, &list) || len(list) == 0 {
		t.Errorf("%s\ngives a %T, want Errors", text, err)
	}
	if got := err.Error(); got != want {
		t.Errorf("%s\ngives\n%s\nwant\n%s", text, got, want)
	}
}

// TestAllAtOnce has a file with many mistakes: every one must be told, once,
// in order, and none that only follows from another.
func TestAllAtOnce(t *testing.T) {
	check(t, `// a comment
{
  "user": "u",
  "heartbeet": 60,
  "heartbeat": "60",
  "max_sync_delay": "120",
  "recover_sync_delay": 500,
  "query_timeout": 9,
  "user": "v",
  "password": 12345,
  "triggers": {
    "master_upp": "x",
    "master_up": 5,
    "slave_up": [],
    "slave_down": ["", 3]
  },
  "nodes": [
    {"host": "a"},
    {"host": "A", "port": 5432.0},
    {"port": 0, "max_sync_delay": 10,
     "recover_sync_delay": 11, "weight": 3},
    "db3",
    {"host": "b:5432"},
    {"host": "c", "recover_sync_delay": 5}
  ]
}`, `19 problems
  line 2: dbname: is required
  line 4: heartbeet: unknown key, did you mean "heartbeat"?
  line 5: heartbeat: write the number without quotes
  line 6: max_sync_delay: write the number without quotes
  line 8: query_timeout: must be at most 5 s, the smallest of connect_timeout, heartbeat (if above 1 s, else 1 s) and 5 s
  line 9: user: duplicate key, first on line 3
  line 10: password: expected a string, found a number
  line 12: triggers.master_upp: unknown key, did you mean "master_up"?
  line 13: triggers.master_up: expected a shell command, an array of arguments, an object of named commands or null, found a number
  line 14: triggers.slave_up: must name a program; null is for nothing
  line 15: triggers.slave_down[0]: must name a program
  line 15: triggers.slave_down[1]: expected a string, found a number
  line 19: nodes[1]: A:5432 is the same server as nodes[0] on line 18
  line 20: nodes[2].host: is required
  line 20: nodes[2].port: must be a whole number from 1 to 65535
  line 21: nodes[2].recover_sync_delay: 11 s is more than the max_sync_delay of 10 s
  line 21: nodes[2].weight: unknown key
  line 22: nodes[3]: expected an object, found a string
  line 23: nodes[4].host: "b:5432" has a port, which is a key of its own`)
}

func TestSettingErrors(t *testing.T) {
	for _, c := range []struct{ keys, want string }{
		{`"heartbeat": 0`, `heartbeat: must be above 0`},
		{`"heartbeat": -1`, `heartbeat: must not be negative`},
		{`"heartbeat": 1e-10`, `heartbeat: must be above 0`},
		{`"heartbeat": 1000000001`, `heartbeat: must be at most 1000000000 s`},
		{`"heartbeat": 1e12`, `heartbeat: must be at most 1000000000 s`},
		{`"heartbeat": 1e999`, `heartbeat: must be at most 1000000000 s`},
		{`"heartbeat": true`, `heartbeat: expected a number of seconds or a schedule, found true or false`},
		{`"heartbeat": ""`, `heartbeat: "" is no schedule: empty spec string`},
		{`"heartbeat": "NaN"`, `heartbeat: write the number without quotes`},
		{`"heartbeat": "1.5sec"`, `heartbeat: "1.5sec" is no duration such as 1.5s or 2m`},
		{`"heartbeat": "0s"`, `heartbeat: must be above 0`},
		{`"heartbeat": "-2s"`, `heartbeat: must be above 0`},
		{`"fail_interval": "5"`, `fail_interval: write the number without quotes`},
		{`"fail_interval": "soon"`, `fail_interval: expected a number of seconds, found a string`},
		{`"heartbeat": "@every 0s"`, `heartbeat: must be above 0`},
		{`"heartbeat": "@every x"`, `heartbeat: "x" is no duration such as 1.5s or 2m`},
		{`"heartbeat": "@every 300000h"`, `heartbeat: must be at most 1000000000 s`},
		{`"heartbeat": "@often"`, `heartbeat: "@often" is no schedule: unrecognized descriptor: @often`},
		{`"heartbeat": "0 0 31 2 *"`, `heartbeat: "0 0 31 2 *" never comes`},
		{`"heartbeat": ", * * * * *"`, `heartbeat: ", * * * * *" is no schedule: nothing beside a comma in ","`},
		{`"heartbeat": "TZ=UTC"`, `heartbeat: "TZ=UTC" is no schedule: nothing follows the time zone`},
		{`"heartbeat": "TZ=UTC @every 2s"`, `heartbeat: "TZ=UTC @every 2s" is no schedule: @every takes no time zone`},
		{`"fail_interval": -0.5`, `fail_interval: must not be negative`},
		{`"connect_timeout": 0`, `connect_timeout: must be above 0`},
		{`"connection_lifetime": 0`, `connection_lifetime: must be above 0`},
		{`"trigger_timeout": 0`, `trigger_timeout: must be above 0`},
		{`"query_timeout": 0`, `query_timeout: must be above 0`},
		{`"heartbeat": 2.5, "query_timeout": 2.6`,
			`query_timeout: must be at most 2.5 s, the smallest of connect_timeout, heartbeat (if above 1 s, else 1 s) and 5 s`},
		{`"recover_sync_delay": 120.5`, `recover_sync_delay: 120.5 s is more than the max_sync_delay of 120 s`},
		{`"nodes": [{"host": "a", "recover_sync_delay": 121}]`,
			`nodes[0].recover_sync_delay: 121 s is more than the max_sync_delay of 120 s`},
		{`"nodes": {}`, `nodes: expected an array, found an object`},
		{`"nodes": [null]`, `nodes[0]: expected an object, found null`},
		{`"nodes": [{"host": "a", "port": "postgres"}]`, `nodes[0].port: expected a number from 1 to 65535, found a string`},
		{`"nodes": [{"host": "a", "port": "0"}]`, `nodes[0].port: must be a whole number from 1 to 65535`},
		{`"nodes": [{"host": "a"}, {"host": "A", "port": "5432"}]`, `nodes[1]: A:5432 is the same server as nodes[0] on line 1`},
		{`"nodes": [{"host": "a", "port": 54.5}]`, `nodes[0].port: must be a whole number from 1 to 65535`},
		{`"nodes": [{"host": "a", "port": 1e400}]`, `nodes[0].port: must be a whole number from 1 to 65535`},
		{`"nodes": [{"host": ""}]`, `nodes[0].host: must not be empty`},
		{`"nodes": [{"host": "[::1]:5432"}]`,
			`nodes[0].host: "[::1]:5432" is no IPv6 address in brackets; the port is a key of its own`},
		{`"nodes": [{"host": "::1"}, {"host": "[0:0::1]"}]`, `nodes[1]: [0:0::1]:5432 is the same server as nodes[0] on line 1`},
		{`"nodes": [{"host": "/run/pg"}, {"host": "/run/pg/"}]`, `nodes[1]: /run/pg/:5432 is the same server as nodes[0] on line 1`},
		{`"sslmode": "on"`, `sslmode: must be one of disable, allow, prefer, require, verify-ca, verify-full, not "on"`},
		{`"require_auth": "scram"`, `require_auth: must be some of password, md5, gss, sspi, scram-sha-256, none with commas between them, not "scram"`},
		{`"require_auth": "md5,!none"`, `require_auth: all words must have ! before them, or none`},
		{`"require_auth": "md5, md5"`, `require_auth: duplicate word "md5"`},
		{`"channel_binding": "on"`, `channel_binding: must be one of disable, prefer, require, not "on"`},
		{`"sslcert": "c"`, `sslcert: needs sslkey beside it`},
		{`"sslkey": "k"`, `sslkey: needs sslcert beside it`},
		{`"log_level": "warning"`, `log_level: must be one of error, info, debug, not "warning"`},
		{`"log_format": "xml"`, `log_format: must be one of text, json, not "xml"`},
		{`"pid_file": ""`, `pid_file: must not be empty`},
		{`"pid_file": "a\u0000b"`, `pid_file: must not contain a NUL character`},
		{`"is_slave_statement": ""`, `is_slave_statement: must not be empty`},
		{`"triggers": {"slave_up": {"a": {}}}`,
			`triggers.slave_up.a: expected a shell command, an array of arguments or null, found an object`},
		{`"triggers": {"slave_up": {"a": 1}}`,
			`triggers.slave_up.a: expected a shell command, an array of arguments or null, found a number`},
		{`"triggers": {"slave_up": {"my pager": []}}`, `triggers.slave_up."my pager": must name a program; null is for nothing`},
		{`"triggers": {"slave_up": {"": "b"}}`, `triggers.slave_up."": a command needs a name`},
		{`"triggers": {"slave_up": {"a": "b", "a": "c"}}`, `triggers.slave_up.a: duplicate key, first on line 1`},
		{`"triggers": []`, `triggers: expected an object, found an array`},
		{`"triggers": {"slave_up": ["a", "b\u0000"]}`, `triggers.slave_up[1]: must not contain a NUL character`},
		{`"Max-Sync-Delay": 1`, `"Max-Sync-Delay": unknown key, did you mean "max_sync_delay"?`},
		{`"passwd": "x"`, `passwd: unknown key, did you mean "password"?`},
		{`"nodse": []`, `nodse: unknown key, did you mean "nodes"?`},
		{`"x\ny": null`, `"x\ny": unknown key`},
	} {
		check(t, with(c.keys), "line 1: "+c.want)
	}
}

func TestSyntaxErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "line 1: is empty: expected an object, { ... }"},
		{" \n\n", "line 1: is empty: expected an object, { ... }"},
		{"// nothing\n", "line 1: file ends where a key or a value is expected"},
		{"\xef\xbb\xbf{}", "line 1: starts with a byte order mark: save the file as UTF-8 without one"},
		{"\xff\xfe{\x00}\x00", "line 1: starts with a byte order mark: save the file as UTF-8 without one"},
		{"{\n\"user\": \"\xe9\"}", "line 2: is not UTF-8"},
		{"[]", "line 1: expected an object, found an array"},
		{"{\n}\n}", "line 3: column 1: something follows after the end of the object"},
		{"{\n\"a\": 1\n\"b\": 2}", "line 3: column 1: expected a , or } after the value"},
		{"{\"a\": [1 2]}", "line 1: column 10: expected a , or ] after the value"},
		{"{\"a\" 1}", "line 1: column 6: expected a : after the key"},
		{"{\n  user: 1}", "line 2: column 3: neither a string in double quotes, a number, true, false nor null"},
		{"{1: 2}", "line 1: column 2: expected a key in double quotes"},
		{"{\"a\": }", "line 1: column 7: expected a value"},
		{"{\n# note\n}", "line 2: column 1: write comments with //, not with #"},
		{"{'a': 1}", "line 1: column 2: write strings in double quotes, not in single ones"},
		{"{\"a\": NaN}", "line 1: column 7: neither a string in double quotes, a number, true, false nor null"},
		{"{\"a\": 01}", "line 1: column 7: neither a string in double quotes, a number, true, false nor null"},
		{"{\"a\": \"x\ny\"}", `line 1: column 7: string is not valid JSON: a missing quote, a line break or a bad \ escape?`},
		{"{\n\"a\": \"x\n\n\n", `line 2: file ends inside a string: is a " missing?`},
		{"{\n\"a\": 1\n", "line 2: file ends inside an object: is a } missing?"},
		{"{\"a\": [1", "line 1: file ends inside an array: is a ] missing?"},
		{"{ /* a", "line 1: file ends inside a comment: is a */ missing?"},
		{strings.Repeat("[", maxOpen+1), "line 1: has more than 50000 opening brackets"},
	} {
		check(t, c.text, c.want)
	}
}

// TestPasswordStaysHidden breaks a file beside and inside its password.
func TestPasswordStaysHidden(t *testing.T) {
	const password = "h7#Kq9zWx"
	for _, text := range []string{
		with(`"password": "` + password + `", "user": 1`),
		with(`"password": ["` + password + `"]`),
		with(`"password": {"` + password[:3] + `": "` + password + `"}`),
		with(`"password": "` + password + `\q"`),
		with(`"password": "` + password + `\u0000"`),
		with(`"password": "` + password),
		with(`"password": '` + password + `'`),
		with(`"password": ` + password),
		with(`"password": "` + password + `", "password": "` + password + `"`),
		with(`"pasword": "` + password + `"`),
		with(`"password": "` + password + "\n" + `"`),
		with(`"password": "a"` + password + `"`),
	} {
		_, _, err := Parse([]byte(text))
		if err == nil {
			t.Errorf("%s gives no error", text)
			continue
		}
		for i := range len(password) - 2 {
			if part := password[i : i+3]; strings.Contains(err.Error(), part) {
				t.Errorf("%s\ngives %v, which has %q of the password", text, err, part)
			}
		}
	}
}
