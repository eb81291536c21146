package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestSecretStaysHidden prints, logs and encodes a configuration in every way
// that could end in a log.
func TestSecretStaysHidden(t *testing.T) {
	const password = "h7Kq9zWx"
	cfg := parse(t, with(`"password": "`+password+`"`))
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+"\n", cfg)
		fmt.Fprintf(&out, verb+"\n", cfg.Password)
		fmt.Fprintf(&out, verb+"\n", &cfg)
	}
	fmt.Fprintln(&out, cfg.Password.String(), cfg.Password.GoString())
	encoded, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(encoded)
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("loaded", "config", cfg, "password", cfg.Password)
	}
	text := strings.ToLower(out.String())
	for _, leak := range []string{password, fmt.Sprintf("%x", password), fmt.Sprint([]byte(password))} {
		if strings.Contains(text, strings.ToLower(leak)) {
			t.Errorf("%q is in %s", leak, text)
		}
	}
	if string(cfg.Password) != password {
		t.Errorf("the password itself is %q", string(cfg.Password))
	}
	if got := fmt.Sprintf("%v %q", Secret(""), Secret("x")); got != ` "[redacted]"` {
		t.Errorf("an empty and a short secret show as %s", got)
	}
}
