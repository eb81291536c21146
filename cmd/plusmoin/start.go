package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"plusmoin/config"
	"plusmoin/daemon"
	"plusmoin/internal/plainfile"
	"plusmoin/postgres"
)

// startPatience is how long start waits for the daemon's first round, which
// takes some ten seconds at most.
const startPatience = time.Minute

func startCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "start",
		Short: "watch the configured nodes until told to stop",
		Long: `Watch the configured nodes until told to stop.

Without -x plusmoin becomes a daemon: it runs as daemon_user if root starts it,
else as whoever does, and logs to log_file. start returns when the daemon has
looked at all nodes and has written status_file; its exit code is 0 then, and 1
if there is no daemon or already was one.

With -x it stays in the foreground, changes no user, has no pid file and logs to
standard output: as containers and service managers want it. systemd is told
when it is ready, reloads and stops, and its watchdog is fed by every round.

Only one plusmoin writes a status_file and runs triggers for it: with -x or not,
a second one is refused.

SIGHUP reloads the configuration and opens log_file anew, SIGUSR1 only opens
log_file anew. SIGTERM and SIGINT end plusmoin; triggers that run are given
three seconds more.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case o.foreground:
				return o.watch(cmd)
			case daemon.IsChild():
				return o.live(cmd.Context())
			}
			return o.launch(cmd)
		},
	}
}

// watch is start -x.
func (o *options) watch(cmd *cobra.Command) error {
	ctx, asked, stop := signals(cmd.Context())
	defer stop()
	concealed := daemon.Conceal()
	path, cfg, warnings, err := o.load()
	if err != nil {
		return err
	}
	warn(cmd.ErrOrStderr(), warnings)
	if err := enoughDescriptors(cfg); err != nil {
		return err
	}
	if err := separate(path, cfg, false); err != nil {
		return err
	}
	for _, text := range exposed(named{"status_file", cfg.StatusFile}) {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", text)
	}
	if text := foreign(path); text != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", text)
	}
	h := hold{troubles: []error{concealed}}
	defer h.release()
	if err := h.status(cfg, false); err != nil {
		return err
	}
	s, err := newService(path, cfg, outlet{Writer: cmd.OutOrStdout()}, func() {}, h)
	if err != nil {
		return err
	}
	return s.run(ctx, asked)
}

// launch starts the daemon and waits until it runs.
func (o *options) launch(cmd *cobra.Command) error {
	path, cfg, warnings, err := o.load()
	if err != nil {
		return err
	}
	warn(cmd.ErrOrStderr(), warnings)
	if err := trusted(path); err != nil {
		return err
	}
	user, err := daemon.Resolve(cfg.DaemonUser)
	if err != nil {
		return hinted{fmt.Errorf("daemon_user: %w", err), "name one that exists, or make it: useradd --system " + cfg.DaemonUser}
	}
	if err := alone(cmd.Context(), cfg.PidFile); err != nil {
		return err
	}
	if err := separate(path, cfg, true); err != nil {
		return err
	}
	if err := enoughDescriptors(cfg); err != nil { // the daemon inherits the limit
		return err
	}
	if err := makeFolders(cfg, user); err != nil {
		return err
	}
	logged := size(cfg.LogFile)
	outcome, err := daemon.Launch([]string{"-c", path, "start"}, user, startPatience)
	switch {
	case errors.Is(err, daemon.ErrDied):
		return died(err, cfg.LogFile, logged)
	case errors.Is(err, daemon.ErrSilent):
		return hinted{fmt.Errorf("%w (pid %d)", err, outcome.PID), "it was left running: see " + cfg.LogFile + ", or end it with plusmoin stop"}
	case errors.Is(err, os.ErrPermission):
		return hinted{err, "let that user execute the program and enter all folders that it is in"}
	case err != nil:
		return err
	case outcome.Error != "":
		return withHint(errors.New(outcome.Error), outcome.Hint)
	}
	if outcome.Warning != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", outcome.Warning)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "plusmoin runs as user %s, pid %d\n", user.Name, outcome.PID)
	return nil
}

// limitPlaces are where the limit of file descriptors is set.
const limitPlaces = "LimitNOFILE in a unit of systemd, ulimit -n in a shell"

// enoughDescriptors refuses to start with more nodes than this process can have
// file descriptors for.
func enoughDescriptors(cfg config.Config) error {
	if err := postgres.CheckDescriptors(len(cfg.Nodes)); err != nil {
		return hinted{err, "raise the limit, as root, where plusmoin is started: " + limitPlaces}
	}
	return nil
}

// alone refuses to start beside another daemon, before anything is made. One
// that was just killed may take a moment to be gone. The lock decides later.
func alone(ctx context.Context, pidFile string) error {
	p, err := daemon.Find(pidFile)
	if err != nil {
		return nil
	}
	defer p.Close()
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if p.Wait(ctx) == nil {
		return nil
	}
	return refusal(daemon.HeldError{PID: p.PID})
}

// makeFolders makes the default folders, which a system may have lost at boot,
// as root. Others are made by the daemon as far as its user may.
func makeFolders(cfg config.Config, user daemon.User) error {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, file := range []string{cfg.PidFile, cfg.StatusFile, cfg.LogFile} {
		dir := filepath.Dir(file)
		if !slices.Contains([]string{"/var/run/plusmoin", "/run/plusmoin", "/var/log/plusmoin"}, dir) {
			continue
		}
		if err := user.MakeFolder(dir); err != nil {
			return fmt.Errorf("making a folder for user %s: %w", user.Name, err)
		}
	}
	return nil
}

// live is the daemon that launch has started.
func (o *options) live(ctx context.Context) error {
	child, err := daemon.Adopt()
	if err != nil {
		return err
	}
	err = o.serve(ctx, child)
	// It is heard only if there was no first round.
	early := err
	if early == nil {
		early = errors.New("plusmoin was told to stop before its first round was over")
	}
	var h hinted
	errors.As(early, &h)
	child.Refuse(early, h.hint)
	return err
}

func (o *options) serve(ctx context.Context, child *daemon.Child) error {
	ctx, asked, stop := signals(ctx)
	defer stop()
	concealed := daemon.Conceal()
	if err := usable(files{{"configuration", o.config, daemon.Config}}, o.config); err != nil {
		return err
	}
	path, cfg, warnings, err := o.load()
	if err != nil {
		return err
	}
	if err := usable(filesOf(cfg), path); err != nil {
		return err
	}
	if err := separate(path, cfg, true); err != nil { // there are more links to be seen now
		return err
	}
	h := hold{troubles: []error{concealed}}
	defer h.release()
	if err := h.pidFile(cfg); err != nil {
		return err
	}
	if err := h.status(cfg, true); err != nil {
		return err
	}
	if err := daemon.Divert(cfg.LogFile); err != nil {
		return fmt.Errorf("log file: %w", err)
	}
	var s *service
	s, err = newService(path, cfg, outlet{os.Stderr, daemon.Divert}, func() { child.Ready(s.trouble()) }, h)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		s.log.Error("configuration", "file", path, "warning", w.String())
	}
	for _, text := range exposed(named{"pid_file", cfg.PidFile}, named{"log_file", cfg.LogFile}, named{"status_file", cfg.StatusFile}) {
		s.log.Error("unsafe directory", "warning", text)
	}
	return s.run(ctx, asked)
}

// files are what a daemon must be able to use.
type files []struct {
	key, path string
	use       daemon.Use
}

func filesOf(cfg config.Config) files {
	list := files{
		{"pid_file", cfg.PidFile, daemon.Write},
		{"status_file", cfg.StatusFile, daemon.Replace},
		{"log_file", cfg.LogFile, daemon.Write},
	}
	if cfg.StateDir != "" {
		list = append(list, files{{"state_dir", filepath.Join(cfg.StateDir, stateName), daemon.Replace}}...)
	}
	for _, read := range (files{
		{"passfile", cfg.PassFile, daemon.Secret}, {"sslrootcert", cfg.SSLRootCert, daemon.Read},
		{"sslcert", cfg.SSLCert, daemon.Read}, {"sslkey", cfg.SSLKey, daemon.Read},
	}) {
		if filepath.IsAbs(read.path) {
			list = append(list, read)
		}
	}
	return list
}

// usable tells all that keeps this process from using its files at once, with
// the commands that help.
func usable(list files, config string) error {
	var texts, remedies []string
	for _, f := range list {
		p := daemon.Check(f.path, f.use, config)
		if p == nil {
			continue
		}
		texts = append(texts, f.key+": "+p.Text)
		if p.Remedy != "" && !slices.Contains(remedies, p.Remedy) {
			remedies = append(remedies, p.Remedy)
		}
	}
	if len(texts) == 0 {
		return nil
	}
	hint := ""
	if len(remedies) > 0 {
		// What a directory holds is put right before it is given away: its new
		// owner could put something else there.
		slices.SortStableFunc(remedies, func(a, b string) int { return depth(b) - depth(a) })
		hint = "run as root: " + strings.Join(remedies, " && ")
	}
	return withHint(errors.New(strings.Join(texts, "\n")), hint)
}

// depth tells how deep in the tree the last file is that a command names.
func depth(command string) int {
	return strings.Count(command[strings.LastIndexByte(command, ' ')+1:], "/")
}

// refusal explains why the pid file could not be had.
func refusal(err error) error {
	var held daemon.HeldError
	if errors.As(err, &held) {
		return hinted{fmt.Errorf("plusmoin is %w", held), "plusmoin reload applies a changed configuration, plusmoin stop ends it"}
	}
	return hinted{fmt.Errorf("pid file: %w", err), "if nothing else needs that file, remove it; else name another pid_file"}
}

// died explains with the end of the log why there is no daemon.
func died(err error, path string, from int64) error {
	lines := lastLines(path, from)
	if lines == "" {
		return hinted{fmt.Errorf("%w and logged nothing", err), "plusmoin -x start shows more"}
	}
	return hinted{fmt.Errorf("%w; the last it logged:\n%s", err, lines), "see " + path}
}

// lastLines returns the last ten lines that were added to a file since it had
// the given size.
func lastLines(path string, from int64) string {
	const most = 16 << 10
	file, err := plainfile.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close() // it was only read
	end := size(path)
	from = max(from, end-most)
	data, err := io.ReadAll(io.NewSectionReader(file, from, end-from))
	if err != nil {
		return ""
	}
	lines := strings.Split(string(bytes.TrimSpace(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// requests are what others ask of plusmoin at work by signals.
type requests struct {
	reload <-chan os.Signal // SIGHUP
	reopen <-chan os.Signal // SIGUSR1: only the log file
}

// signals returns a context that SIGTERM and SIGINT end, and what is asked by
// others. From then on a reader of the output that goes away does not end the
// process: SIGPIPE is received and not looked at. Were it ignored, the triggers
// would ignore it too.
func signals(ctx context.Context) (context.Context, requests, func()) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	reload, reopen := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	signal.Notify(reopen, syscall.SIGUSR1)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return ctx, requests{reload, reopen}, func() {
		signal.Stop(reload)
		signal.Stop(reopen)
		stop()
	}
}

func warn(w io.Writer, warnings []config.Warning) {
	for _, warning := range warnings {
		fmt.Fprintf(w, "warning: %s\n", warning)
	}
}
