package main

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"testing"

	"plusmoin/cluster"
	"plusmoin/config"
)

// TestManual looks for all that a manual must have.
func TestManual(t *testing.T) {
	var out, complaints bytes.Buffer
	if code := run(context.Background(), []string{"man"}, &out, &complaints); code != 0 || complaints.Len() > 0 {
		t.Fatalf("exit code %d: %s", code, &complaints)
	}
	page := out.String()
	wanted := []string{
		".SH NAME\nplusmoin \\- ", ".SH SYNOPSIS\n.B plusmoin\n", ".SS plusmoin status ", ".B \\-\\-status\\-file file\n",
		".SH CONFIGURATION", ".SH DIAGNOSIS", ".SH TRIGGERS", ".SH SIGNALS", ".SH EXIT STATUS", ".SH ENVIRONMENT",
		".SH FILES", ".SH EXAMPLES", ".SH SEE ALSO", "NO_COLOR", "PLUSMOIN_STATUS_FILE",
	}
	for _, k := range config.Keys() {
		wanted = append(wanted, ".TP\n.B "+k.Name+"\n")
	}
	for _, k := range cluster.Kinds() {
		wanted = append(wanted, ".TP\n.B "+string(k)+"\n"+sentence(occasion(k))[:10])
	}
	for _, d := range diagnoses() {
		wanted = append(wanted, ".TP\n.B "+string(d)+"\n")
	}
	for _, w := range wanted {
		if !strings.Contains(page, w) {
			t.Errorf("no %q", w)
		}
	}
}

// TestEveryHelpIsWhole has every command described in sentences that fit a
// terminal, and listed.
func TestEveryHelpIsWhole(t *testing.T) {
	root := newRoot()
	listed := root.UsageString()
	for _, c := range root.Commands() {
		if !strings.HasSuffix(strings.TrimSpace(c.Long), ".") && !strings.Contains(c.Long, "\n  ") {
			t.Errorf("%s: its description is no sentence: %q", c.Name(), c.Long)
		}
		for line := range strings.Lines(c.Long) {
			if len(line) > 81 {
				t.Errorf("%s: a line of %d characters: %s", c.Name(), len(line)-1, line)
			}
		}
		if !strings.Contains(listed, "\n  "+c.Name()+" ") {
			t.Errorf("%s is not listed by plusmoin --help", c.Name())
		}
	}
}

// TestManualIsRightForMan has the page read by what shows it, as far as that is
// installed.
func TestManualIsRightForMan(t *testing.T) {
	var page bytes.Buffer
	if err := writeManual(&page, newRoot()); err != nil {
		t.Fatal(err)
	}
	checked := false
	for _, command := range [][]string{{"mandoc", "-Tlint"}, {"groff", "-man", "-Tutf8", "-ww", "-z"}} {
		program, err := exec.LookPath(command[0])
		if err != nil {
			continue
		}
		checked = true
		cmd := exec.Command(program, command[1:]...)
		cmd.Stdin = bytes.NewReader(page.Bytes())
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", command[0], err, out)
		}
	}
	if !checked {
		t.Skip("NOT CHECKED: neither mandoc nor groff is installed")
	}
}

func TestRoff(t *testing.T) {
	var p page
	p.section("A")
	p.prose("one\n.two 'x'\n\n  kept \\ here\n    and\n\nthree")
	p.item("-w", strings.Repeat("word ", 20)+". "+"end")
	want := `.SH A
one .two \(aqx\(aq
.PP
.RS 4
.nf
kept \e here
  and
.fi
.RE
.PP
three
.TP
.B \-w
word word word word word word word word word word word word word word
word word word word word word . end
`
	if got := p.text.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := roff(".x"); got != `\&.x` {
		t.Errorf("got %s", got)
	}
}
