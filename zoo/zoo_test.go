//go:build linux

package zoo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
)

const (
	heartbeat    = time.Second
	queryTimeout = 500 * time.Millisecond
	// latestRound is how long the status file may stay as it is, on a machine
	// that has other work too.
	latestRound = 3 * time.Second
	stopWithin  = 2 * time.Second
	startWithin = 20 * time.Second
)

// document is what is judged of the status file.
type document struct {
	State     string    `json:"state"`
	UpdatedAt time.Time `json:"updated_at"`
	Round     struct {
		Number     uint64  `json:"number"`
		DurationMS float64 `json:"duration_ms"`
	} `json:"round"`
	Nodes map[string]struct {
		State  string         `json:"state"`
		Reason cluster.Reason `json:"reason"`
		Error  string         `json:"error"`
	} `json:"nodes"`
}

// zoo is one run.
type zoo struct {
	dir    string
	beasts map[string]beast // by the name of the node
	pair   []string         // the names of the master and its slave
	cmd    *exec.Cmd
	ended  chan error
}

func TestZoo(t *testing.T) {
	z := open(t)
	z.settle(t)
	w := z.watch(t, length(t))
	z.judge(t)
	t.Logf("%d beasts, %d rounds in %v, status at most %v old, memory %s",
		len(z.beasts), w.rounds, w.took.Round(time.Second), w.oldest.Round(time.Millisecond), trend(t, w.memory))
	if w.oldest > latestRound {
		t.Errorf("the status file was %v old", w.oldest)
	}
	if want := uint64(w.took/heartbeat) / 2; w.rounds < want {
		t.Errorf("%d rounds, want %d at least", w.rounds, want)
	}
	z.stop(t)
	z.judgeEvents(t)
}

// settle waits until the pair is in order and the start is over.
func (z *zoo) settle(t *testing.T) {
	for deadline := time.Now().Add(startWithin); ; <-time.After(100 * time.Millisecond) {
		doc, text := z.read(t)
		switch {
		case z.inOrder(doc) && doc.State == "running":
			return
		case z.inOrder(doc) && time.Now().After(deadline):
			t.Errorf("the start has not settled after %v", startWithin)
			return
		case z.died() != nil:
			t.Fatalf("%v\n%s", z.died(), z.tail())
		case time.Now().After(deadline):
			t.Fatalf("the pair never came up\n%.4000s\n%s", text, z.tail())
		}
	}
}

func (z *zoo) inOrder(doc document) bool {
	return doc.Nodes[z.pair[0]].State == "master" && doc.Nodes[z.pair[1]].State == "slave"
}

// died returns an error if plusmoin has ended.
func (z *zoo) died() error {
	select {
	case err := <-z.ended:
		z.ended <- err
		return fmt.Errorf("plusmoin has ended though nobody told it to: %w", errors.Join(err, errors.New("see its log")))
	default:
		return nil
	}
}

// watched is what was seen of plusmoin.
type watched struct {
	took   time.Duration
	rounds uint64
	oldest time.Duration // that the status file was
	memory []int         // KiB, ten times a second
}

// watch reads the status file all the time.
func (z *zoo) watch(t *testing.T, length time.Duration) watched {
	var w watched
	first, _ := z.read(t)
	complained := map[string]bool{}
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for began := time.Now(); w.took < length; w.took = time.Since(began) {
		<-ticker.C
		if err := z.died(); err != nil {
			t.Fatalf("%v\n%s", err, z.tail())
		}
		doc, text := z.read(t)
		w.oldest = max(w.oldest, time.Since(doc.UpdatedAt))
		w.rounds = doc.Round.Number - first.Round.Number
		if !z.inOrder(doc) {
			t.Fatalf("%s: the pair: %+v, %+v", doc.State, doc.Nodes[z.pair[0]], doc.Nodes[z.pair[1]])
		}
		for _, complaint := range dirty(text) {
			if !complained[complaint] {
				complained[complaint] = true
				t.Error(complaint)
			}
		}
		w.memory = append(w.memory, z.resident(t))
	}
	return w
}

func length(t *testing.T) time.Duration {
	text := os.Getenv("ZOO")
	if text == "" {
		return 15 * time.Second
	}
	d, err := time.ParseDuration(text)
	must(t, err)
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open starts the servers and plusmoin.
func open(t *testing.T) *zoo {
	z := &zoo{dir: t.TempDir(), beasts: map[string]beast{}, ended: make(chan error, 1)}
	lab := pglab.New(t)
	servers, err := lab.Cluster(t.Context(), "m", "s")
	must(t, err)
	nodes := []map[string]any{}
	add := func(port int) string {
		nodes = append(nodes, map[string]any{"host": "127.0.0.1", "port": port})
		return "127.0.0.1:" + strconv.Itoa(port)
	}
	all := append(strangers(), hosts()...)
	for i, b := range all {
		if i == len(all)/2 {
			for _, s := range servers {
				z.pair = append(z.pair, add(s.Port()))
			}
		}
		z.beasts[add(house(t, b.serve))] = b
	}
	z.configure(t, nodes)
	z.start(t)
	return z
}

// house listens for a beast and returns the port.
func house(t *testing.T, serve func(net.Conn)) int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var serving sync.WaitGroup
	var mu sync.Mutex
	inside := map[net.Conn]bool{}
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			inside[conn] = true
			mu.Unlock()
			serving.Go(func() {
				serve(conn)
				conn.Close()
				mu.Lock()
				delete(inside, conn)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for conn := range inside {
			conn.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	return listener.Addr().(*net.TCPAddr).Port
}

func (z *zoo) file(name string) string { return filepath.Join(z.dir, name) }

func (z *zoo) configure(t *testing.T, nodes []map[string]any) {
	triggers := map[string]string{}
	for _, k := range cluster.Kinds() {
		if k != cluster.PlusmoinHeartbeat {
			triggers[string(k)] = "dd of=" + z.file("events") + " oflag=append conv=notrunc bs=4M iflag=fullblock status=none"
		}
	}
	text, err := json.Marshal(map[string]any{
		"dbname": pglab.Database, "user": pglab.User, "password": pglab.Password,
		"heartbeat": heartbeat.Seconds(), "query_timeout": queryTimeout.Seconds(), "connect_timeout": 3, "connection_lifetime": 20,
		"fail_interval": 3, "log_level": "error",
		"status_file": z.file("status.json"), "pid_file": z.file("pid"), "log_file": z.file("unused.log"),
		"nodes": nodes, "triggers": triggers,
	})
	must(t, err)
	must(t, os.WriteFile(z.file("plusmoin.json"), text, 0o600))
}

// start builds plusmoin and runs it.
func (z *zoo) start(t *testing.T) {
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", z.file("plusmoin"), "plusmoin/cmd/plusmoin")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	log, err := os.Create(z.file("log"))
	must(t, err)
	defer log.Close()
	z.cmd = exec.Command(z.file("plusmoin"), "-c", z.file("plusmoin.json"), "-x", "start")
	z.cmd.Stdout, z.cmd.Stderr = log, log
	z.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, z.cmd.Start())
	gone := make(chan struct{})
	go func() {
		z.ended <- z.cmd.Wait()
		close(gone)
	}()
	t.Cleanup(func() {
		z.cmd.Process.Kill()
		<-gone
	})
}

// tail returns the end of the log.
func (z *zoo) tail() string {
	text, err := os.ReadFile(z.file("log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}

func (z *zoo) read(t *testing.T) (document, []byte) {
	var doc document
	text, err := os.ReadFile(z.file("status.json"))
	if os.IsNotExist(err) {
		return doc, nil
	}
	must(t, err)
	must(t, json.Unmarshal(text, &doc))
	return doc, text
}

// dirty returns what must not be in any text of the status file.
func dirty(text []byte) []string {
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		return []string{err.Error()}
	}
	var complaints []string
	eachText(doc, "", func(at, text string) {
		bad := func(r rune) bool {
			return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == unicode.ReplacementChar
		}
		if strings.ContainsFunc(text, bad) {
			complaints = append(complaints, fmt.Sprintf("%s is not clean: %.200q", at, text))
		}
		if len(text) > 1024 {
			complaints = append(complaints, fmt.Sprintf("%s has %d bytes", at, len(text)))
		}
	})
	return complaints
}

func eachText(of any, at string, do func(at, text string)) {
	switch v := of.(type) {
	case string:
		do(at, v)
	case []any:
		for _, part := range v {
			eachText(part, at, do)
		}
	case map[string]any:
		for key, part := range v {
			do(at, key)
			eachText(part, at+"."+key, do)
		}
	}
}

// judge compares why each beast is down with why it must be.
func (z *zoo) judge(t *testing.T) {
	deadline := time.Now().Add(20 * time.Second)
	wrong := map[string]string{}
	for name, b := range z.beasts {
		wrong[name] = b.name + ": never seen"
	}
	for len(wrong) > 0 && time.Now().Before(deadline) {
		doc, _ := z.read(t)
		for name := range wrong {
			n, b := doc.Nodes[name], z.beasts[name]
			if b.want == nil || n.State != "slave" && n.State != "master" && slices.Contains(b.want, n.Reason) {
				delete(wrong, name)
			} else {
				wrong[name] = fmt.Sprintf("%s: is %s for %q (%.200s), want one of %v", b.name, n.State, n.Reason, n.Error, b.want)
			}
		}
		<-time.After(100 * time.Millisecond)
	}
	for _, text := range wrong {
		t.Error(text)
	}
}

// judgeEvents demands that nothing was told of the pair but that it is there.
func (z *zoo) judgeEvents(t *testing.T) {
	text, err := os.ReadFile(z.file("events"))
	must(t, err)
	type entry struct {
		Host string `json:"host"`
		Port int    `json:"port"`
	}
	told := 0
	for line := range bytes.Lines(text) {
		var e struct {
			Event   cluster.Kind `json:"event"`
			Trigger *entry       `json:"trigger"`
			Master  *entry       `json:"master"`
		}
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("a trigger read %.200q: %v", line, err)
		}
		for _, about := range []*entry{e.Trigger, e.Master} {
			if about == nil || !slices.Contains(z.pair, about.Host+":"+strconv.Itoa(about.Port)) {
				continue
			}
			told++
			if e.Event != cluster.PlusmoinUp && e.Event != cluster.SlaveUp {
				t.Errorf("of the pair: %.300s", line)
			}
		}
	}
	if told == 0 {
		t.Error("the pair was never told of")
	}
}

// resident returns the memory of plusmoin in KiB.
func (z *zoo) resident(t *testing.T) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", z.cmd.Process.Pid))
	must(t, err)
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	must(t, err)
	return pages * os.Getpagesize() / 1024
}

// trend compares the last quarter of the samples with the second.
func trend(t *testing.T, samples []int) string {
	quarter := len(samples) / 4
	if quarter == 0 {
		return "not judged"
	}
	middle := func(part []int) int {
		part = slices.Sorted(slices.Values(part))
		return part[len(part)/2]
	}
	early, late, most := middle(samples[quarter:2*quarter]), middle(samples[3*quarter:]), slices.Max(samples)
	text := fmt.Sprintf("%d -> %d KiB, at most %d", early, late, most)
	if quarter >= 100 && late > early+early/5+4096 {
		t.Errorf("memory grows: %s", text)
	}
	if most > 256<<10 {
		t.Errorf("memory is not bounded: %s", text)
	}
	return text
}

// stop ends plusmoin as an operator would.
func (z *zoo) stop(t *testing.T) {
	began := time.Now()
	must(t, z.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-z.ended:
		if took := time.Since(began); err != nil || took > stopWithin {
			t.Errorf("plusmoin ended %v after it was told to: %v", took, err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("plusmoin still runs 20 s after it was told to stop")
	}
}
