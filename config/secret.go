package config

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a string that shows itself only to an explicit conversion to
// string. Printed, logged or encoded it is replaced by a fixed word, so that
// neither its content nor its length gets out. An empty one shows as empty.
type Secret string

func (s Secret) redacted() string {
	if s == "" {
		return ""
	}
	return "[redacted]"
}

// String returns the word shown for s.
func (s Secret) String() string { return s.redacted() }

// GoString returns the word shown for s.
func (s Secret) GoString() string { return fmt.Sprintf("%q", s.redacted()) }

// LogValue returns the word shown for s.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.redacted()) }

// MarshalJSON returns the word shown for s.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(s.GoString()), nil }

// Format writes the word shown for s, whatever the verb: %x would otherwise
// give the content away.
func (s Secret) Format(f fmt.State, verb rune) {
	word := s.redacted()
	if verb == 'q' || verb == 'v' && f.Flag('#') {
		word = s.GoString()
	}
	// A Formatter has no way to report what its writer refuses.
	_, _ = io.WriteString(f, word)
}
