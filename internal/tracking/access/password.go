package access

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// iterations as OWASP advises for PBKDF2 with SHA-256: about 0.1 s.
	iterations = 600_000
	saltBytes  = 16
	hashBytes  = 32
	// minPassword is upstream's.
	minPassword = 12
)

func hash(password string, rounds int) (string, error) {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // it never fails, as its documentation promises
	sum, err := pbkdf2.Key(sha256.New, password, salt, rounds, hashBytes)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("pbkdf2-sha256$%d$%s$%s", rounds, base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum)), nil
}

func verify(password, stored string) bool {
	parts := strings.Split(stored, "$")
	if len(parts) != 4 || parts[0] != "pbkdf2-sha256" {
		return false
	}
	rounds, err := strconv.Atoi(parts[1])
	salt, saltErr := base64.RawStdEncoding.DecodeString(parts[2])
	want, wantErr := base64.RawStdEncoding.DecodeString(parts[3])
	if err != nil || saltErr != nil || wantErr != nil {
		return false
	}
	got, err := pbkdf2.Key(sha256.New, password, salt, rounds, len(want))
	return err == nil && subtle.ConstantTimeCompare(got, want) == 1
}

// verifier remembers passwords that were right. The stored hash is a part of
// the key, so a changed password is not right any more at once.
type verifier struct {
	now    func() time.Time
	rounds int
	secret [32]byte
	// busy bounds how many passwords are tried at a time, so that guessing
	// cannot take the whole machine.
	busy chan struct{}
	// dummy is tried for users that do not exist; it is made when the first one asks.
	dummy func() string

	mu    sync.Mutex
	right map[[sha256.Size]byte]time.Time
}

const (
	rememberFor = 5 * time.Minute
	maxRight    = 4096
	maxTries    = 2
)

func newVerifier(now func() time.Time, rounds int) *verifier {
	v := &verifier{now: now, rounds: rounds, busy: make(chan struct{}, maxTries), right: map[[sha256.Size]byte]time.Time{}}
	_, _ = rand.Read(v.secret[:]) // as above
	v.dummy = sync.OnceValue(func() string {
		h, err := hash(rand.Text(), rounds)
		if err != nil {
			return "" // fits no password either
		}
		return h
	})
	return v
}

// check tells whether a password fits a stored hash; none costs the same time.
func (v *verifier) check(ctx context.Context, password, stored string) bool {
	if stored == "" {
		v.try(ctx, password, v.dummy())
		return false
	}
	h := sha256.New()
	h.Write(v.secret[:])
	h.Write([]byte(stored))
	h.Write([]byte(password))
	var k [sha256.Size]byte
	h.Sum(k[:0])
	if v.known(k) {
		return true
	}
	if !v.try(ctx, password, stored) {
		return false
	}
	v.remember(k)
	return true
}

// try is expensive, so few go on at once; who has gone meanwhile is not waited for.
func (v *verifier) try(ctx context.Context, password, stored string) bool {
	select {
	case v.busy <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	defer func() { <-v.busy }()
	return verify(password, stored)
}

func (v *verifier) known(k [sha256.Size]byte) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	until, ok := v.right[k]
	return ok && v.now().Before(until)
}

func (v *verifier) remember(k [sha256.Size]byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.right) >= maxRight {
		clear(v.right)
	}
	v.right[k] = v.now().Add(rememberFor)
}
