package webhooks

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// message is one delivery with where it goes.
type message struct {
	id, webhook string
	url, secret string // secret is sealed
	event, body string
	attempts    int
}

// answer of a receiver.
type answer struct {
	status int
	body   string
	after  time.Duration // Retry-After
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 10

// sign is the signature of Standard Webhooks over id, time and body.
func sign(secret, id, timestamp, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = io.WriteString(mac, id+"."+timestamp+"."+body) // a hash takes everything
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// send makes one attempt. Errors hold neither address nor secret.
func (s *Service) send(ctx context.Context, m message) (answer, error) {
	secret, err := s.vault.open(m.webhook, m.secret)
	if err != nil {
		return answer{}, err // another copy of the server, or the next start, may have the key
	}
	if _, err := parseTarget(m.url, s.o.Schemes); err != nil {
		return answer{}, &refused{errors.New("its address is not allowed any more")}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url, strings.NewReader(m.body))
	if err != nil {
		return answer{}, &refused{errors.New("its address is not a URL")}
	}
	now := strconv.FormatInt(s.o.Clock().Unix(), 10)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "kiwerk")
	r.Header["Idempotency-Key"] = nil // not sent: it lets the transport use another connection when the receiver has closed this one
	r.Header.Set("X-Mlflow-Delivery-Id", m.id)
	r.Header.Set("X-Mlflow-Timestamp", now)
	if secret != "" {
		r.Header.Set("X-Mlflow-Signature", sign(secret, m.id, now, m.body))
	}
	resp, err := s.client.Do(r)
	if err != nil {
		return answer{}, failure(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return answer{}, failure(err)
	}
	return answer{resp.StatusCode, string(b), s.retryAfter(resp.Header.Get("Retry-After"))}, nil
}

// maxAfter bounds how long a receiver can put a delivery off.
const maxAfter = time.Hour

func (s *Service) retryAfter(text string) time.Duration {
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, maxAfter)
	}
	if t, err := http.ParseTime(text); err == nil {
		return max(0, min(t.Sub(s.o.Clock()), maxAfter))
	}
	return 0
}

// refused is a failure that no repetition will mend.
type refused struct{ error }

// failure says what went wrong without the address.
func failure(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var timeout net.Error
	var dns *net.DNSError
	var never *refused
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(err, errPrivate):
		return &refused{errPrivate}
	case errors.As(err, &never):
		return never
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("it did not answer in time")
	case errors.As(err, &dns):
		return errors.New("its host name could not be resolved")
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("it refused the connection")
	case errors.As(err, &certificate):
		return errors.New("its certificate is not valid")
	}
	return errors.New("it could not be reached")
}

// repeat tells whether a status asks for another attempt.
func repeat(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// verdict is what an attempt means.
type verdict struct {
	done  bool // nothing more is sent
	after time.Duration
	why   string // empty after success
}

// decide weighs an attempt, of which this was the nth.
func (s *Service) decide(n int, a answer, err error) verdict {
	var never *refused
	switch {
	case errors.As(err, &never):
		return verdict{done: true, why: "the receiver was not called: " + err.Error()}
	case err != nil:
		return verdict{done: n > s.o.Retries, after: s.o.Backoff(n), why: "the receiver was not reached: " + err.Error()}
	case repeat(a.status):
		return verdict{done: n > s.o.Retries, after: max(a.after, s.o.Backoff(n)), why: fmt.Sprintf("the receiver answered %d", a.status)}
	case a.status >= http.StatusMultipleChoices:
		return verdict{done: true, why: fmt.Sprintf("the receiver answered %d", a.status)}
	}
	return verdict{done: true}
}
