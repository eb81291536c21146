package triggers

import "strings"

// tailSize is how much output is kept, in bytes.
const tailSize = 8 << 10

// tail is an io.Writer that keeps the end of what is written to it.
type tail struct {
	kept []byte
	cut  bool // something before it was thrown away
}

func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	if over := len(t.kept) + n - tailSize; over > 0 {
		t.cut = true
		drop := min(over, len(t.kept))
		t.kept = t.kept[:copy(t.kept, t.kept[drop:])]
		p = p[over-drop:]
	}
	t.kept = append(t.kept, p...)
	return n, nil
}

// String returns the text kept, after "..." if there was more.
func (t *tail) String() string {
	text := strings.TrimRight(strings.ToValidUTF8(string(t.kept), "\uFFFD"), "\n")
	if t.cut {
		return "..." + text
	}
	return text
}
