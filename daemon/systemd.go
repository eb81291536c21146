package daemon

import (
	"fmt"
	"log/slog"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
)

// Systemd is told what the program does, if systemd has started it and wants to
// know (Type=notify). Else telling does nothing.
type Systemd struct {
	log      *slog.Logger
	watchdog time.Duration // as the unit says; 0: nobody watches
	allowed  time.Duration // for how long we may be silent now
}

// NewSystemd reads from the environment what systemd wants to know.
func NewSystemd(log *slog.Logger) *Systemd {
	watchdog, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		log.Error("systemd's watchdog is not fed", "error", err)
	}
	return &Systemd{log: log, watchdog: watchdog, allowed: watchdog}
}

// Ready says that the program runs, at first and after Reloading.
func (s *Systemd) Ready() { s.tell(sd.SdNotifyReady) }

// Reloading says that another configuration is being put in force.
func (s *Systemd) Reloading() {
	s.tell(sd.SdNotifyReloading + "\n" + sd.SdNotifyMonotonicUsec())
}

// Stopping says that the program is about to end.
func (s *Systemd) Stopping() { s.tell(sd.SdNotifyStopping) }

// Alive feeds the watchdog, which will not be fed again for next. Where that is
// longer than the unit foresees, systemd is asked to be so patient. It must not
// be called by two goroutines at once.
func (s *Systemd) Alive(next time.Duration) {
	if s.watchdog == 0 {
		return
	}
	text := sd.SdNotifyWatchdog
	if needed := patience(s.watchdog, next); needed != s.allowed {
		s.allowed = needed
		text += fmt.Sprintf("\nWATCHDOG_USEC=%d", needed.Microseconds())
	}
	s.tell(text)
}

// patience returns for how long a program may be silent whose watchdog is fed
// again after next. It grows in steps, so that it seldom changes.
func patience(watchdog, next time.Duration) time.Duration {
	if next <= watchdog/2 {
		return watchdog
	}
	steps := (next + watchdog - 1) / watchdog
	return (steps + 1) * watchdog
}

func (s *Systemd) tell(text string) {
	if _, err := sd.SdNotify(false, text); err != nil {
		s.log.Error("systemd was not told", "message", text, "error", err)
	}
}
