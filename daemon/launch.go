package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	godaemon "github.com/sevlyar/go-daemon"
	"golang.org/x/sys/unix"
)

// readyVar names the descriptor by which a daemon tells whoever started it how
// that went.
const readyVar = "PLUSMOIN_READY_FD"

// nameVar names the program as it was called. The library starts the file behind
// every link, such as that to one of several versions, and the kernel would name
// the daemon after that one: see sameProgram.
const nameVar = "PLUSMOIN_NAME"

// firstFree is the least number of that descriptor: those below it are the
// library's.
const firstFree = 100

// Outcome is what a daemon tells whoever started it.
type Outcome struct {
	PID     int    `json:"pid"`
	Warning string `json:"warning"` // something is wrong, but it runs
	Error   string `json:"error"`   // it does not run, and this is why
	Hint    string `json:"hint"`    // on what to do about Error
}

// The errors of Launch about a daemon that was started.
var (
	ErrDied   = errors.New("the daemon died")
	ErrSilent = errors.New("the daemon does not say that it runs")
)

// Launch starts this program again, with args, as a daemon: in a session of its
// own, in the root folder, as the given user. It returns when the daemon has
// called Ready or Refuse. It must be called before the program uses other
// goroutines. The error wraps ErrDied or ErrSilent, the latter after patience,
// when the daemon is left alone.
func Launch(args []string, as User, patience time.Duration) (Outcome, error) {
	// Whatever else whoever started us has open is not for the daemon to keep
	// open. A kernel older than 5.11 cannot do that, which does little harm.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	tell, heard, err := descriptor()
	if err != nil {
		return Outcome{}, err
	}
	defer heard.Close() // it is only read
	env := append(as.environ(withoutSecrets(Inheritable(os.Environ()))), readyVar+"="+strconv.Itoa(tell))
	if name, err := programName("self"); err == nil {
		env = append(env, nameVar+"="+name)
	}
	attempt := godaemon.Context{
		WorkDir: "/", Umask: 0o022, Credential: as.change,
		Args: append([]string{os.Args[0]}, args...), Env: env,
	}
	child, err := attempt.Reborn()
	_ = unix.Close(tell) // now only the daemon has it
	// The library writes a last empty line that the daemon does not wait for. What
	// became of it is heard below.
	if err != nil && !(child != nil && errors.Is(err, syscall.EPIPE)) {
		return Outcome{}, fmt.Errorf("starting the daemon as user %s: %w", as.Name, err)
	}
	outcome, err := listen(heard, patience)
	outcome.PID = child.Pid
	if errors.Is(err, io.EOF) {
		return outcome, fmt.Errorf("%w (%s)", ErrDied, ending(child))
	}
	if err == nil && outcome.Error != "" {
		ending(child)
	}
	return outcome, err
}

// descriptor returns a pipe's end that a child inherits, and the other end.
func descriptor() (tell int, heard *os.File, err error) {
	heard, w, err := os.Pipe()
	if err != nil {
		return 0, nil, err
	}
	defer w.Close() // nothing was written
	tell, err = unix.FcntlInt(w.Fd(), unix.F_DUPFD, firstFree)
	if err != nil {
		return 0, nil, errors.Join(err, heard.Close())
	}
	return tell, heard, nil
}

// listen returns what the daemon tells, io.EOF if it ends without a word.
func listen(heard *os.File, patience time.Duration) (Outcome, error) {
	var o Outcome
	if err := heard.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return o, err
	}
	err := json.NewDecoder(heard).Decode(&o)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return o, fmt.Errorf("%w within %s", ErrSilent, patience)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return o, err
}

func ending(child *os.Process) string {
	state, err := child.Wait()
	if err != nil {
		return err.Error()
	}
	return state.String()
}

// Child is the daemon's side of Launch.
type Child struct {
	tell *os.File
}

// IsChild says that this process was started by Launch and has not called Adopt
// yet.
func IsChild() bool {
	return godaemon.WasReborn() && os.Getenv(readyVar) != ""
}

// Adopt completes the start of a daemon. Nothing of what it was given for that
// is left to the programs it will start.
func Adopt() (*Child, error) {
	fd, err := strconv.Atoi(os.Getenv(readyVar))
	if err != nil || fd < firstFree {
		return nil, fmt.Errorf("%s is %q", readyVar, os.Getenv(readyVar))
	}
	// The library's own third descriptor, and ours. It has a fourth only where
	// it locks the pid file, which is not left to it: see Lock.
	syscall.CloseOnExec(3)
	syscall.CloseOnExec(fd)
	var start godaemon.Context
	if _, err := start.Reborn(); err != nil {
		return nil, fmt.Errorf("becoming a daemon: %w", err)
	}
	if name := os.Getenv(nameVar); name != "" {
		_ = os.WriteFile(commOf("self"), []byte(name), 0) // at worst it has the name of its file
	}
	for _, name := range private() {
		if err := os.Unsetenv(name); err != nil {
			return nil, err
		}
	}
	return &Child{tell: os.NewFile(uintptr(fd), "start")}, nil
}

// Ready lets Launch return: the daemon runs. A warning may go with it.
func (c *Child) Ready(warning string) { c.say(Outcome{Warning: warning}) }

// Refuse lets Launch return: the daemon does not run.
func (c *Child) Refuse(err error, hint string) { c.say(Outcome{Error: err.Error(), Hint: hint}) }

// say tells one outcome; there is no second one. Whoever waited for it may have
// gone, which is not our concern.
func (c *Child) say(o Outcome) {
	_ = json.NewEncoder(c.tell).Encode(o)
	_ = c.tell.Close()
}

// private names the variables that are meant for one process only.
func private() []string {
	return []string{godaemon.MARK_NAME, readyVar, nameVar, "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}
}

// Inheritable returns an environment without what was meant for this process
// alone, such as the address at which systemd listens to it. It always makes a
// new list.
func Inheritable(env []string) []string {
	names := private()
	return slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(names, name)
	})
}
