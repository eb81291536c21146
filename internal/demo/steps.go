package demo

import (
	"context"
	"fmt"

	"plusmoin/cluster"
)

// steps is the story.
func (s *story) steps() []step {
	db1, db2, db3 := address(s.db1), address(s.db2), address(s.db3)
	return []step{{
		title: "plusmoin finds out who is who",
		text: "Nobody tells plusmoin which node is the master. It asks each one, writes a time stamp on the master every second, " +
			"and reads on each slave which master's stamp has arrived there. What has not arrived yet is the lag.",
		do:    nothing,
		cause: "the start of plusmoin",
		outcome: outcome{
			told:  []event{{cluster.PlusmoinUp, 0, ""}},
			shown: []standing{{db1, cluster.Master, 0, ""}, {db2, cluster.Slave, 0, db1}, {db3, cluster.Slave, 0, db1}},
		},
	}, {
		title: "A slave dies",
		text: "All processes of db3 are killed (kill -9), as in a crash. Readers that are still sent there get errors: " +
			"slave_down is where a script takes it out of the load balancer.",
		do:    s.db3.Kill,
		cause: "kill -9 of the slave",
		outcome: outcome{
			told:  []event{{cluster.SlaveDown, 0, db3}},
			shown: []standing{{db3, cluster.Lost, 0, ""}, {db2, cluster.Slave, 0, db1}},
		},
	}, {
		title: "The slave returns",
		text: "db3 is started again. To answer is not enough: slave_up is run when db3 has answered for fail_interval and has replayed " +
			"a recent stamp of its own master. So readers are not sent to a slave that is still far behind.",
		do:    s.db3.Start,
		cause: "the start of the slave",
		outcome: outcome{
			told:  []event{{cluster.SlaveUp, 0, db3}},
			shown: []standing{{db3, cluster.Slave, 0, db1}},
		},
	}, {
		title: "The master dies",
		text: "All processes of db1 are killed. The cluster keeps its number and its slaves, and has no master: " +
			"master_down is where a script stops the writers and alerts somebody. One that promotes should do so on the diagnosis dead_master, and on " +
			"nothing else: it says that no slave hears from the master any more, here neither db2 nor db3.",
		do:    s.db1.Kill,
		cause: "kill -9 of the master",
		outcome: outcome{
			told:  []event{{cluster.MasterDown, 0, db1}},
			shown: []standing{{db1, cluster.Lost, 0, ""}, {db2, cluster.Slave, 0, db1}, {db3, cluster.Slave, 0, db1}},
		},
	}, {
		title: "A slave is promoted",
		text: "plusmoin never promotes anything; you or your tools do. Here it is pg_promote() on db2. plusmoin sees it and runs master_up once the " +
			"new master has taken a write: that is where a script points the writers at it. A first order is then taken there.",
		do:    s.promote,
		cause: "the promotion",
		outcome: outcome{
			told:  []event{{cluster.MasterUp, 0, db2}},
			shown: []standing{{db2, cluster.Master, 0, ""}, {db1, cluster.Lost, 0, ""}, {db3, cluster.Slave, 0, ""}},
		},
	}, {
		title: "The other slave is repointed",
		text: "db3 is told to follow db2 (primary_conninfo, reload). It was never too far behind, " +
			"so there is nothing for a script to do and nothing is run: no false slave_down during a failover.",
		do:    s.repoint,
		cause: "the reload",
		outcome: outcome{
			shown: []standing{{db2, cluster.Master, 0, ""}, {db3, cluster.Slave, 0, db2}},
		},
	}, {
		title: "The old master returns",
		text: "db1 is booted as it was, and still takes itself for the master; but it lacks the order that db2 took. A check that asks only " +
			"\"are you a master?\" would now send writers to either. plusmoin knows by the stamps that db1 is stale: it is split off into a cluster of its own, and never told as master_up. " +
			"That cluster has triggers of its own, so a script looks at the cluster it is told of: send nobody to a stale one.",
		do:    s.db1.Start,
		cause: "the start of the old master",
		outcome: outcome{
			told:  []event{{cluster.ClusterSplit, 1, db1}, {cluster.NodeLeft, 0, db1}},
			shown: []standing{{db2, cluster.Master, 0, ""}, {db3, cluster.Slave, 0, db2}, {db1, cluster.Master, 1, ""}},
		},
		epilogue: s.countOrders,
	}, {
		title: "The old master is rebuilt as a slave",
		text: "db1 gets a fresh copy of db2 (pg_basebackup) and follows it. As soon as a stamp of db2 arrives there, " +
			"it moves to db2's cluster, its own is gone, and slave_up is where a script gives it readers again.",
		do:    s.rebuild,
		cause: "the start of the rebuild",
		outcome: outcome{
			told: []event{{cluster.SlaveUp, 0, db1}, {cluster.NodeLeft, 1, db1}, {cluster.ClusterGone, 1, ""}, {cluster.NodeJoined, 0, db1}},
			// It is down for as long as it is copied.
			maybe: []event{{cluster.MasterDown, 1, db1}},
			shown: []standing{{db2, cluster.Master, 0, ""}, {db1, cluster.Slave, 0, db2}, {db3, cluster.Slave, 0, db2}},
		},
		epilogue: s.countOrders,
	}}
}

func nothing(context.Context) error { return nil }

// promote makes db2 the master and has it take an order that db1 will lack.
func (s *story) promote(ctx context.Context) error {
	if err := s.db2.Promote(ctx); err != nil {
		return err
	}
	_, err := s.db2.SQL(ctx, "INSERT INTO orders VALUES (2)")
	return err
}

func (s *story) repoint(ctx context.Context) error {
	return s.db3.Follow(ctx, s.db2)
}

func (s *story) rebuild(ctx context.Context) error {
	return s.db1.Rebuild(ctx, s.db2)
}

// countOrders says what a client would find on the two.
func (s *story) countOrders(ctx context.Context) (string, error) {
	const query = "SELECT count(*) FROM orders"
	on1, err := s.db1.SQL(ctx, query)
	if err != nil {
		return "", err
	}
	on2, err := s.db2.SQL(ctx, query)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("Orders on db2: %s. Orders on db1: %s.", on2, on1), nil
}
