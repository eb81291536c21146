package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"plusmoin/cluster"
	"plusmoin/internal/fleet"
	"plusmoin/internal/pglab"
	"plusmoin/postgres"
)

// The floor is a bare loop in a process of its own: it sends the statements of
// plusmoin over kept connections of the same kind, listens on them in between,
// and neither thinks nor tells.

// floorJob is what the bare loop is told.
type floorJob struct {
	Nodes   []cluster.Node
	Masters []int // of Nodes; they get beats
	Looks   []statement
	Beat    statement
}

type statement struct{ Name, SQL string }

// floor is a running bare loop.
type floor struct {
	child
	in    io.WriteCloser
	lines *bufio.Scanner
}

// bare starts a bare loop and returns when it is connected.
func bare(b *testing.B, nodes []cluster.Node, masters ...int) *floor {
	b.Helper()
	looks, beat := statements(b)
	job := marshal(b, floorJob{nodes, masters, looks, beat})
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), floorVar+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(b, err)
	out, err := cmd.StdoutPipe()
	must(b, err)
	f := &floor{child: launch(b, cmd), in: in, lines: bufio.NewScanner(out)}
	f.send(string(job))
	f.receive() // connected
	return f
}

// round makes the loop go round once and returns how long that took.
func (f *floor) round() time.Duration {
	f.Helper()
	f.send("round")
	return f.receive()
}

func (f *floor) send(line string) {
	f.Helper()
	_, err := io.WriteString(f.in, line+"\n")
	must(f.B, err)
}

func (f *floor) receive() time.Duration {
	f.Helper()
	if !f.lines.Scan() {
		f.Fatal("the bare loop has ended")
	}
	d, err := time.ParseDuration(f.lines.Text())
	must(f.B, err)
	return d
}

// statements returns what plusmoin sends in a look and for a beat, as heard by
// a node that it looks at, so that the floor cannot fall behind.
func statements(b *testing.B) (looks []statement, beat statement) {
	b.Helper()
	var mu sync.Mutex
	fake, err := fleet.Open(fleet.Options{Nodes: 1, Parsed: func(name, sql string) {
		mu.Lock()
		defer mu.Unlock()
		if name != "" {
			looks = append(looks, statement{name, sql})
		}
	}})
	must(b, err)
	defer fake.Close()
	host, port := fake.Address(0)
	prime(b, cluster.Node{Host: host, Port: port})
	mu.Lock()
	defer mu.Unlock()
	last := len(looks) - 1
	return looks[:last], looks[last]
}

// prime looks at a master and writes a beat on it, so that it has its table.
func prime(b *testing.B, master cluster.Node) {
	b.Helper()
	nodes, err := postgres.Open(postgres.Settings{
		DBName: pglab.Database, User: pglab.User, Password: pglab.Password, SSLMode: "disable",
		IsSlaveStatement: "SELECT pg_is_in_recovery()", ConnectTimeout: 10 * time.Second, QueryTimeout: 10 * time.Second,
	}, slog.New(slog.DiscardHandler))
	must(b, err)
	defer nodes.Close()
	if seen := nodes.Look(b.Context(), []cluster.Node{master}, nil)[master]; seen.Outcome != cluster.Answered {
		b.Fatalf("%v: %+v", master, seen)
	}
	row := cluster.Row{Cluster: cluster.NoCluster, Master: "-"}
	if o := nodes.Beat(b.Context(), []cluster.Beat{{Node: master, Row: row}})[master]; o.Verdict != cluster.Confirmed {
		b.Fatalf("%v: %+v", master, o)
	}
}

// serveFloor is the bare loop itself. It goes round at every line it reads.
func serveFloor(ctx context.Context, in io.Reader, out io.Writer) error {
	var job floorJob
	lines := bufio.NewReader(in)
	text, err := lines.ReadBytes('\n')
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &job); err != nil {
		return err
	}
	loop, err := connectFloor(ctx, job)
	for ; err == nil; _, err = lines.ReadString('\n') {
		began := time.Now()
		if err := loop.round(ctx); err != nil {
			return err
		}
		fmt.Fprintln(out, time.Since(began))
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// line is one connection of the bare loop.
type line struct {
	name  string
	conn  *pgconn.PgConn
	looks []*pgconn.StatementDescription
	beat  *pgconn.StatementDescription // nil: a slave
	heard chan error                   // how listening ended
}

type bareLoop []*line

func connectFloor(ctx context.Context, job floorJob) (bareLoop, error) {
	loop := make(bareLoop, len(job.Nodes))
	beats := map[int]bool{}
	for _, i := range job.Masters {
		beats[i] = true
	}
	for i, n := range job.Nodes {
		l, err := connectLine(ctx, n, job.Looks)
		if err == nil && beats[i] {
			l.beat, err = l.conn.Prepare(ctx, job.Beat.Name, job.Beat.SQL, nil)
		}
		if err != nil {
			return nil, fmt.Errorf("%v: %w", n, err)
		}
		l.listen(ctx)
		loop[i] = l
	}
	return loop, nil
}

func connectLine(ctx context.Context, n cluster.Node, looks []statement) (*line, error) {
	conn, err := pgconn.Connect(ctx, fmt.Sprintf("host=%s port=%d dbname=%s user=%s password=%s sslmode=disable application_name=bare",
		n.Host, n.Port, pglab.Database, pglab.User, pglab.Password))
	if err != nil {
		return nil, err
	}
	l := &line{name: n.String(), conn: conn, heard: make(chan error, 1)}
	for _, s := range looks {
		described, err := conn.Prepare(ctx, s.Name, s.SQL, nil)
		if err != nil {
			return nil, err
		}
		l.looks = append(l.looks, described)
	}
	return l, nil
}

func (l *line) listen(ctx context.Context) {
	go func() { l.heard <- l.conn.WaitForNotification(ctx) }()
}

func (l *line) hush() error {
	_ = l.conn.Conn().SetReadDeadline(time.Unix(1, 0)) // else listening says why
	if err := <-l.heard; !errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.Join(net.ErrClosed, err)
	}
	return l.conn.Conn().SetDeadline(time.Now().Add(10 * time.Second))
}

// round looks at all nodes at once, then beats all masters at once, as
// plusmoin does.
func (loop bareLoop) round(ctx context.Context) error {
	stamp := time.Now()
	errs := make([]error, len(loop))
	var pending sync.WaitGroup
	for i, l := range loop {
		pending.Go(func() { errs[i] = l.exchange(ctx, l.looks, nil) })
	}
	pending.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for i, l := range loop {
		if l.beat == nil {
			continue
		}
		row := [][]byte{[]byte("0"), []byte(l.name),
			strconv.AppendInt(nil, stamp.Unix(), 10), strconv.AppendInt(nil, int64(stamp.Nanosecond()/1000), 10)}
		pending.Go(func() { errs[i] = l.exchange(ctx, []*pgconn.StatementDescription{l.beat}, row) })
	}
	pending.Wait()
	return errors.Join(errs...)
}

// exchange sends statements, each with its sync, reads the answers and listens
// again.
func (l *line) exchange(ctx context.Context, statements []*pgconn.StatementDescription, parameters [][]byte) error {
	if err := l.hush(); err != nil {
		return err
	}
	p := l.conn.StartPipeline(context.Background())
	for _, s := range statements {
		p.SendQueryStatement(s, parameters, nil, nil)
		p.SendPipelineSync()
	}
	err := p.Flush()
	for range 2 * len(statements) {
		if err != nil {
			break
		}
		var result any
		if result, err = p.GetResults(); err != nil {
			break
		}
		if reader, ok := result.(*pgconn.ResultReader); ok {
			err = reader.Read().Err
		}
	}
	if err := errors.Join(err, p.Close(), l.conn.Conn().SetDeadline(time.Time{})); err != nil {
		return err
	}
	l.listen(ctx)
	return nil
}
