package pglab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// victimVar makes the test binary the program that TestKilledProgram kills.
const victimVar = "PGLAB_TEST_VICTIM"

func TestMain(m *testing.M) {
	if os.Getenv(victimVar) != "" {
		os.Exit(victim())
	}
	goleak.VerifyTestMain(m)
}

// victim opens a lab with a frozen server, tells its folder and its processes,
// and waits to be killed.
func victim() int {
	ctx := context.Background()
	lab, err := Open(ctx, Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	servers, err := lab.Cluster(ctx, "m", "s")
	if err == nil {
		err = servers[0].Freeze()
	}
	family, ferr := descendants(os.Getpid())
	if err != nil || ferr != nil {
		fmt.Fprintln(os.Stderr, err, ferr, lab.Close())
		return 1
	}
	fmt.Println(lab.dir, strings.Trim(fmt.Sprint(family), "[]"))
	fmt.Println(strings.Join(segments(servers), ","))
	select {}
}

func TestKilledProgram(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimVar+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(out)
	line, lineErr := reader.ReadString('\n')
	memory, memoryErr := reader.ReadString('\n')
	if err := errors.Join(lineErr, memoryErr); err != nil {
		t.Fatal("the victim opened no lab: ", err)
	}
	words, ids := strings.Fields(line), strings.Split(strings.TrimSpace(memory), ",")
	if left := present(t, ids); len(left) != 2 {
		t.Fatalf("shared memory of two servers: %q", left)
	}
	dir, pids := words[0], numbers(t, words[1:])
	if len(pids) < 10 {
		t.Fatalf("%d processes in a cluster of two, want 10 or more", len(pids))
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	eventually(t, "the processes have ended", func() bool { return len(alive(t, pids)) == 0 })
	eventually(t, "the folder is gone", func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err)
	})
	eventually(t, "the shared memory is gone", func() bool { return len(present(t, ids)) == 0 })
}

func numbers(t *testing.T, words []string) []int {
	t.Helper()
	var numbers []int
	for _, w := range words {
		n, err := strconv.Atoi(w)
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	return numbers
}

func alive(t *testing.T, pids []int) []int {
	t.Helper()
	pids, err := living(pids)
	if err != nil {
		t.Fatal(err)
	}
	return pids
}

func eventually(t *testing.T, what string, yes func() bool) {
	t.Helper()
	err := poll(t.Context(), 5*time.Millisecond, what, func(context.Context) (bool, error) { return yes(), nil })
	if err != nil {
		t.Fatal(err)
	}
}

// cluster starts a lab with a master and slaves.
func cluster(t *testing.T, names ...string) []*Server {
	t.Helper()
	servers, err := New(t).Cluster(t.Context(), names...)
	must(t, err)
	return servers
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ask returns the answer to a query.
func ask(t *testing.T, s *Server, query string) string {
	t.Helper()
	answer, err := s.SQL(t.Context(), query)
	must(t, err)
	return answer
}

func want(t *testing.T, s *Server, query, answer string) {
	t.Helper()
	if got := ask(t, s, query); got != answer {
		t.Fatalf("%s: %s: got %q, want %q", s.Name(), query, got, answer)
	}
}

// login connects as a client would, by TCP, and asks for its own name.
func login(t *testing.T, s *Server, url string) (string, error) {
	t.Helper()
	out, err := s.lab.tools.run(t.Context(), "SELECT current_user", "psql", "--no-psqlrc", "-Atq", "--no-password",
		"--dbname="+url)
	return strings.TrimSpace(out), err
}

// url is the address of a server for User with a password.
func url(s *Server, password, parameters string) string {
	return fmt.Sprintf("postgresql://%s:%s@%s:%d/%s?%s", User, password, s.Host(), s.Port(), Database, parameters)
}
