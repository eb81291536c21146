//go:build linux

package soak

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"plusmoin/internal/pglab"
)

// server is what plays a server: PostgreSQL itself or a node of the fake fleet.
type server interface {
	Name() string
	Host() string
	Port() int
	Running() bool
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	Kill(ctx context.Context) error
	Restart(ctx context.Context) error
	Freeze() error
	Thaw() error
	Promote(ctx context.Context) error
	PauseReplay(ctx context.Context) error
	ResumeReplay(ctx context.Context) error
	Log() string

	follow(ctx context.Context, of server) error
	rebuild(ctx context.Context, of server) error
	seal(ctx context.Context) error // make it read-only
	unseal(ctx context.Context) error
	bar(ctx context.Context) error // keep plusmoin, and nobody else, from using it
	unbar(ctx context.Context) error
	hangUp(ctx context.Context) error              // end plusmoin's sessions
	received(ctx context.Context) (string, error)  // how far a slave's data goes, as text that can be compared
	heartbeat(ctx context.Context) (record, error) // the row
}

// record is a heartbeat row.
type record struct {
	id, master string
	stamp      int64 // microseconds
}

// genuine is a PostgreSQL server.
type genuine struct{ *pglab.Server }

func (g genuine) follow(ctx context.Context, of server) error {
	return g.Follow(ctx, of.(genuine).Server)
}

func (g genuine) rebuild(ctx context.Context, of server) error {
	return g.Rebuild(ctx, of.(genuine).Server)
}

func (g genuine) seal(ctx context.Context) error {
	return g.SetConf(ctx, "default_transaction_read_only", "on")
}

func (g genuine) unseal(ctx context.Context) error {
	return g.SetConf(ctx, "default_transaction_read_only", "off")
}

// unseen is for how long a session may have been let in and not be shown.
const unseen = 500 * time.Millisecond

// bar also ends a session that was let in just before.
func (g genuine) bar(ctx context.Context) error {
	if err := g.SetHBA(ctx, "host all all 127.0.0.0/8 reject"); err != nil {
		return err
	}
	for last := time.Now(); time.Since(last) < unseen; {
		some, err := g.ended(ctx)
		if some {
			last = time.Now()
		}
		if err := errors.Join(err, sleep(ctx, 20*time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}

func (g genuine) unbar(ctx context.Context) error {
	return g.SetHBA(ctx, "host all all 127.0.0.0/8 scram-sha-256")
}

func (g genuine) hangUp(ctx context.Context) error {
	_, err := g.ended(ctx)
	return err
}

// ended ends plusmoin's sessions and says whether there were any.
func (g genuine) ended(ctx context.Context) (bool, error) {
	count, err := g.SQL(ctx, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'plusmoin'")
	return count != "0", err
}

func (g genuine) received(ctx context.Context) (string, error) {
	return g.SQL(ctx, "SELECT lpad(pg_wal_lsn_diff(greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), '0/0')::text, 20, '0')")
}

func (g genuine) heartbeat(ctx context.Context) (record, error) {
	text, err := g.SQL(ctx, "SELECT concat_ws(' ', cluster_id, master, tstamp, coalesce(tstamp_us, 0)) FROM heartbeat")
	if err != nil {
		return record{}, err
	}
	return readRecord(text)
}

func readRecord(text string) (record, error) {
	var r record
	var seconds, micros int64
	if _, err := fmt.Sscan(strings.TrimSpace(text), &r.id, &r.master, &seconds, &micros); err != nil {
		return record{}, fmt.Errorf("heartbeat row %q: %w", text, err)
	}
	r.stamp = seconds*1e6 + micros
	return r, nil
}
