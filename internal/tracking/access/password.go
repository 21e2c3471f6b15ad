package access

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kiwerk/kiwerk/internal/server"
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
	// cannot take the whole machine. The others wait, and not for ever.
	busy     chan struct{}
	patience time.Duration
	// dummy is tried for users that do not exist; it is made when the first one asks.
	dummy func() string

	mu    sync.Mutex
	right map[[sha256.Size]byte]time.Time
	// waiting are the requests before a try, by the address of the peer.
	waiting map[string]int
	inLine  int
}

const (
	rememberFor = 5 * time.Minute
	maxRight    = 4096
	maxTries    = 2
	maxWaiting  = 64
	// maxOfPeer leaves room for others when one guesses.
	maxOfPeer = maxWaiting / 2
	patience  = 10 * time.Second
)

// errBusy is the answer to those who would wait too long. Who has logged in a
// moment ago does not wait at all.
var errBusy = &server.Error{
	Status: http.StatusServiceUnavailable, Code: "TEMPORARILY_UNAVAILABLE", Message: "Too many logins are being checked at the moment",
	Remedy: "try again in a few seconds", Retry: 5 * time.Second,
}

func newVerifier(now func() time.Time, rounds int) *verifier {
	v := &verifier{now: now, rounds: rounds, busy: make(chan struct{}, maxTries), patience: patience, right: map[[sha256.Size]byte]time.Time{}, waiting: map[string]int{}}
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
// peer is the address that asks.
func (v *verifier) check(ctx context.Context, peer, password, stored string) (bool, error) {
	if stored == "" {
		_, err := v.try(ctx, peer, password, v.dummy())
		return false, err
	}
	h := sha256.New()
	h.Write(v.secret[:])
	h.Write([]byte(stored))
	h.Write([]byte(password))
	var k [sha256.Size]byte
	h.Sum(k[:0])
	if v.known(k) {
		return true, nil
	}
	ok, err := v.try(ctx, peer, password, stored)
	if ok {
		v.remember(k)
	}
	return ok, err
}

// try is expensive, so few go on at once; who has gone meanwhile is not waited for.
func (v *verifier) try(ctx context.Context, peer, password, stored string) (bool, error) {
	if !v.enter(peer) {
		return false, errBusy
	}
	defer v.leave(peer)
	ctx, cancel := context.WithTimeout(ctx, v.patience)
	defer cancel()
	select {
	case v.busy <- struct{}{}:
	case <-ctx.Done():
		return false, errBusy
	}
	defer func() { <-v.busy }()
	return verify(password, stored), nil
}

// enter takes a place in the line.
func (v *verifier) enter(peer string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.inLine >= maxWaiting || v.waiting[peer] >= maxOfPeer {
		return false
	}
	v.inLine++
	v.waiting[peer]++
	return true
}

func (v *verifier) leave(peer string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.inLine--
	if v.waiting[peer]--; v.waiting[peer] == 0 {
		delete(v.waiting, peer)
	}
}

// known tells whether a password was right. It stays so while it is used: the
// stored hash is a part of the key.
func (v *verifier) known(k [sha256.Size]byte) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.now()
	until, ok := v.right[k]
	if !ok || !now.Before(until) {
		return false
	}
	v.right[k] = now.Add(rememberFor)
	return true
}

func (v *verifier) remember(k [sha256.Size]byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.now()
	if len(v.right) >= maxRight {
		maps.DeleteFunc(v.right, func(_ [sha256.Size]byte, until time.Time) bool { return !now.Before(until) })
	}
	for other := range v.right {
		if len(v.right) < maxRight {
			break
		}
		delete(v.right, other) // any: it is asked again
	}
	v.right[k] = now.Add(rememberFor)
}
