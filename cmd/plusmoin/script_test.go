package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"plusmoin/internal/pglab"
)

// nobody is the user and the group that scripts use besides the one that runs
// the tests, if that is root.
const nobody = 65534

// TestScripts plays the scripts in testdata/script on the real program. Some
// of what they check applies to root only, some to others only; what the user
// who runs the tests cannot check is logged as NOT CHECKED.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("..", "..", "testdata", "script"),
		RequireExplicitExec: true,
		Setup:               prepare,
		Condition: func(name string) (bool, error) {
			switch name {
			case "root":
				return os.Geteuid() == 0, nil
			case "installed": // here, and so has a status of its own
				_, err := os.Stat(defaultStatusFile)
				return err == nil, nil
			}
			return false, errors.New("unknown condition " + name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"as-nobody": asNobody,
			"await":     await,
			"code":      code,
			"folder":    folder,
			"master":    master,
			"unchecked": unchecked,
		},
	})
}

// prepare lets nobody enter the folder of the script and that of the program,
// and sees to it that no daemon outlives the script.
func prepare(env *testscript.Env) error {
	program, err := exec.LookPath("plusmoin")
	if err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		for _, dir := range []string{env.WorkDir, filepath.Dir(program)} {
			if err := letIn(dir); err != nil {
				return err
			}
		}
	}
	contrib, err := filepath.Abs(filepath.Join("..", "..", "contrib"))
	if err != nil {
		return err
	}
	env.Setenv("CONTRIB", contrib)
	env.Defer(func() { killAll(env.WorkDir) })
	return nil
}

// letIn lets everybody enter a temporary folder.
func letIn(dir string) error {
	for top := filepath.Clean(os.TempDir()); dir != top && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// killAll ends the processes whose command line names a file in dir.
func killAll(dir string) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		line, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(line, []byte(dir+"/")) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil && pid != os.Getpid() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// asNobody runs a command as nobody: as-nobody COMMAND...
func asNobody(ts *testscript.TestScript, neg bool, args []string) {
	id := strconv.Itoa(nobody)
	err := ts.Exec("setpriv", append([]string{"--reuid=" + id, "--regid=" + id, "--clear-groups"}, args...)...)
	if (err != nil) != neg {
		ts.Fatalf("as nobody: %v", err)
	}
}

// await waits until a file matches: await REGEXP FILE
func await(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] await REGEXP FILE")
	}
	wanted, path := regexp.MustCompile("(?m)"+args[0]), ts.MkAbs(args[1])
	var data []byte
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-time.After(10 * time.Millisecond) {
		data, _ = os.ReadFile(path)
		if wanted.Match(data) != neg {
			return
		}
	}
	ts.Fatalf("waited in vain; %s holds:\n%s", args[1], data)
}

// code runs a command that must end with a certain exit code: code N COMMAND...
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// folder makes folders that the daemon's user can write to: folder NAME...
func folder(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		path := ts.MkAbs(name)
		ts.Check(os.MkdirAll(path, 0o755))
		if os.Geteuid() == 0 {
			ts.Check(os.Chown(path, nobody, nobody))
		}
	}
}

// master starts a PostgreSQL master and writes its port in place of the word
// PORT in a file: master FILE
func master(ts *testscript.TestScript, _ bool, args []string) {
	lab, err := pglab.Open(context.Background(), pglab.Options{})
	ts.Check(err)
	ts.Defer(func() { ts.Check(lab.Close()) })
	server, err := lab.Master(context.Background(), "m")
	ts.Check(err)
	path := ts.MkAbs(args[0])
	text := strings.ReplaceAll(ts.ReadFile(args[0]), "PORT", strconv.Itoa(server.Port()))
	ts.Check(os.WriteFile(path, []byte(text), 0o644))
}

// unchecked tells what the user who runs the tests cannot check.
func unchecked(ts *testscript.TestScript, _ bool, args []string) {
	ts.Logf("NOT CHECKED: %s", strings.Join(args, " "))
}
