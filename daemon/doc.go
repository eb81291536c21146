// Package daemon makes a program a daemon and finds the one that runs.
//
//	outcome, err := daemon.Launch(args, user, patience)   // the one that starts it
//
//	child, err := daemon.Adopt()                          // the daemon itself
//	err = daemon.Conceal()
//	lock, err := daemon.Acquire(pidFile)
//	err = daemon.Divert(logFile)
//	child.Ready("")
//
//	process, err := daemon.Find(pidFile)                  // anybody
//	err = process.Signal(syscall.SIGTERM)
//
// The package hides how a process is started in a session of its own as another
// user, how it tells that it runs, what a lock is and what systemd wants to hear.
// It never believes what a pid file says: the process that holds the lock on it,
// runs this program and is the expected user's is the daemon, and nothing else is
// ever signalled. It never changes the owner or the mode of anything that was
// there before; what a user lacks is told as a command to run, where one is safe.
package daemon
