package postgres

import (
	"net"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"plusmoin/cluster"
)

// fakeServer gives every connection to serve and closes it afterwards.
func fakeServer(t *testing.T, serve func(net.Conn)) cluster.Node {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	serveOn(t, listener, serve)
	return cluster.Node{Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port}
}

// serveOn serves until the test ends.
func serveOn(t *testing.T, listener net.Listener, serve func(net.Conn)) {
	var serving sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			serving.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for _, conn := range open {
			conn.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
}

// silence reads and never answers.
func silence(conn net.Conn) {
	buffer := make([]byte, 1024)
	for {
		if _, err := conn.Read(buffer); err != nil {
			return
		}
	}
}

// healthy are the answers of a slave that is well.
func healthy(sql string) [][]byte {
	switch sql {
	case "SELECT pg_is_in_recovery()":
		return [][]byte{[]byte("t")}
	case rowSQL:
		return [][]byte{[]byte("1"), []byte("m:1"), []byte("5"), []byte("6")}
	}
	return nil
}

// speaker is a server that speaks enough of the protocol to be looked at. Before
// it executes a statement it calls before, if there is one, which may do as it
// likes with the connection and returns false to end it.
type speaker struct {
	before func(net.Conn, string) bool
}

func (s speaker) serve(conn net.Conn) { s.serveRows(conn, healthy) }

// serveRows serves with other answers than those of a healthy slave.
func (s speaker) serveRows(conn net.Conn, answer func(sql string) [][]byte) {
	backend := pgproto3.NewBackend(conn, conn)
	if _, err := backend.ReceiveStartupMessage(); err != nil {
		return
	}
	backend.Send(&pgproto3.AuthenticationOk{})
	backend.Send(&pgproto3.ParameterStatus{Name: "server_version", Value: "15.1"})
	backend.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{1, 2, 3, 4}})
	backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	prepared := map[string]string{}
	var bound string
	for backend.Flush() == nil {
		message, err := backend.Receive()
		if err != nil {
			return
		}
		switch message := message.(type) {
		case *pgproto3.Query:
			backend.Send(&pgproto3.CommandComplete{CommandTag: []byte("SET")})
			backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		case *pgproto3.Parse:
			prepared[message.Name] = message.Query
			backend.Send(&pgproto3.ParseComplete{})
		case *pgproto3.Describe:
			if message.ObjectType == 'S' {
				backend.Send(&pgproto3.ParameterDescription{})
			}
			backend.Send(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("x"), DataTypeOID: 25}}})
		case *pgproto3.Bind:
			bound = prepared[message.PreparedStatement]
			backend.Send(&pgproto3.BindComplete{})
		case *pgproto3.Execute:
			if s.before != nil && (backend.Flush() != nil || !s.before(conn, bound)) {
				return
			}
			if row := answer(bound); row != nil {
				backend.Send(&pgproto3.DataRow{Values: row})
			}
			backend.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
		case *pgproto3.Sync:
			backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		case *pgproto3.Terminate:
			return
		}
	}
}
