package postgres

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/xdg-go/stringprep"

	"plusmoin/cluster"
)

const (
	scramPlain = "SCRAM-SHA-256"
	scramBound = "SCRAM-SHA-256-PLUS"

	// maxIterations bounds what a server can make us compute for one logon,
	// which is half a second. PostgreSQL's default is 4096.
	maxIterations = 1_000_000
	maxSalt       = 1 << 10 // bytes
)

// scram is the client's side of one exchange, see RFC 5802 and RFC 7677.
type scram struct {
	mechanism string
	header    string // of GS2
	binding   []byte // what the channel is bound to, nil without
	password  string
	nonce     string

	signature []byte // that the server has to give, nil until it is known
	verified  bool
}

func newScram(mechanism, header string, binding []byte, password string) *scram {
	return &scram{mechanism: mechanism, header: header, binding: binding, password: prepared(password), nonce: rand.Text()}
}

func (s *scram) bare() string { return "n=,r=" + s.nonce }

// first returns the client's first message.
func (s *scram) first() []byte { return []byte(s.header + s.bare()) }

// final returns the client's last message, in answer to the server's first. ctx
// ends the computation.
func (s *scram) final(ctx context.Context, challenge []byte) ([]byte, error) {
	nonce, salt, iterations, err := s.challenge(string(challenge))
	if err != nil {
		return nil, wrong{cluster.ReasonBadAnswer, "SCRAM: " + err.Error()}
	}
	salted, err := stretch(ctx, s.password, salt, iterations)
	if err != nil {
		return nil, err
	}
	input := slices.Concat([]byte(s.header), s.binding)
	last := "c=" + base64.StdEncoding.EncodeToString(input) + ",r=" + nonce
	said := []byte(s.bare() + "," + string(challenge) + "," + last)
	clientKey := keyed(salted, []byte("Client Key"))
	stored := sha256.Sum256(clientKey)
	proof := make([]byte, sha256.Size)
	subtle.XORBytes(proof, clientKey, keyed(stored[:], said))
	s.signature = keyed(keyed(salted, []byte("Server Key")), said)
	return []byte(last + ",p=" + base64.StdEncoding.EncodeToString(proof)), nil
}

// challenge reads the server's first message.
func (s *scram) challenge(text string) (nonce string, salt []byte, iterations int, err error) {
	parts := strings.Split(text, ",")
	if len(parts) < 3 || !strings.HasPrefix(parts[0], "r=") || !strings.HasPrefix(parts[1], "s=") || !strings.HasPrefix(parts[2], "i=") {
		return "", nil, 0, errors.New("the server's challenge is malformed")
	}
	nonce = parts[0][2:]
	if !strings.HasPrefix(nonce, s.nonce) || len(nonce) == len(s.nonce) {
		return "", nil, 0, errors.New("the server's nonce does not go on from ours")
	}
	salt, err = base64.StdEncoding.DecodeString(parts[1][2:])
	if err != nil || len(salt) == 0 || len(salt) > maxSalt {
		return "", nil, 0, errors.New("the server's salt is malformed")
	}
	iterations, err = strconv.Atoi(parts[2][2:])
	if err != nil || iterations < 1 {
		return "", nil, 0, errors.New("the server's number of iterations is malformed")
	}
	if iterations > maxIterations {
		return "", nil, 0, fmt.Errorf("the server wants %d iterations, and no more than %d are done", iterations, maxIterations)
	}
	return nonce, salt, iterations, nil
}

// verify checks the server's last message: that it knows the password, too.
func (s *scram) verify(message []byte) error {
	text, ok := bytes.CutPrefix(message, []byte("v="))
	got, err := base64.StdEncoding.DecodeString(string(text))
	if !ok || err != nil || s.signature == nil || !hmac.Equal(got, s.signature) {
		return wrong{cluster.ReasonAuth, "SCRAM: the server does not prove that it knows the password: it may be another server than it says"}
	}
	s.verified = true
	return nil
}

func keyed(key, message []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(message)
	return mac.Sum(nil)
}

// stretch is PBKDF2 with HMAC-SHA-256 and one block, until ctx ends.
func stretch(ctx context.Context, password string, salt []byte, iterations int) ([]byte, error) {
	const between = 4096 // looks at ctx
	mac := hmac.New(sha256.New, []byte(password))
	mac.Write(salt)
	mac.Write([]byte{0, 0, 0, 1})
	round := mac.Sum(nil)
	sum := slices.Clone(round)
	for i := 1; i < iterations; i++ {
		if i%between == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		mac.Reset()
		mac.Write(round)
		round = mac.Sum(round[:0])
		subtle.XORBytes(sum, sum, round)
	}
	return sum, nil
}

// prepared returns a password as PostgreSQL takes it into SCRAM: by SASLprep, or
// as it stands where that has something against it.
func prepared(password string) string {
	beyondASCII := strings.ContainsFunc(password, func(r rune) bool { return r >= utf8.RuneSelf })
	if !beyondASCII || !utf8.ValidString(password) {
		return password
	}
	// PostgreSQL takes U+200B, which is in two tables, for a space.
	spaced := strings.Map(func(r rune) rune {
		if stringprep.TableC1_2.Contains(r) {
			return ' '
		}
		return r
	}, password)
	p, err := stringprep.SASLprep.Prepare(spaced)
	if err != nil || p == "" {
		return password
	}
	return p
}
