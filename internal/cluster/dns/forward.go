package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/singleflight"
	"k8s.io/utils/clock"
)

const (
	upstreamTimeout = 2 * time.Second
	forwardTimeout  = 5 * time.Second
	// maxForwards bounds what is asked at once; a stuck upstream must not collect goroutines.
	maxForwards = 256
	// maxWaiting bounds the questions that wait for these, among them equal ones.
	maxWaiting = 1024
	maxCached  = 1024
	maxTTL     = 30 * time.Second
	// bufferSize is what fits into one datagram on every path (DNS flag day 2020).
	bufferSize = 1232
)

// Forwarder asks upstream servers and remembers their answers for a short time.
//
// Questions that are equal share one exchange. So a question that an upstream
// sends back to us waits for itself until it times out, and does not multiply.
type Forwarder struct {
	// Upstreams are host:port of the servers, in the order in which they are tried.
	Upstreams func() []string
	// Dial reaches them; a plain dialer by default.
	Dial  func(ctx context.Context, network, address string) (net.Conn, error)
	Clock clock.PassiveClock

	flights singleflight.Group
	mu      sync.Mutex
	running int // exchanges
	waiting int // questions
	cache   map[question]cached
}

// question is what makes two queries equal.
type question struct {
	name         string
	qtype        uint16
	dnssec, noCD bool
}

type cached struct {
	msg         *dns.Msg // never changed
	from, until time.Time
}

var (
	errNoUpstream = errors.New("no upstream name server is known")
	errBusy       = errors.New("too many questions wait for upstream name servers")
)

// Exchange returns the answer to a query of one question. The caller sets its ID.
func (f *Forwarder) Exchange(ctx context.Context, query *dns.Msg) (*dns.Msg, error) {
	q := question{name: strings.ToLower(query.Question[0].Name), qtype: query.Question[0].Qtype, noCD: !query.CheckingDisabled}
	if opt := query.IsEdns0(); opt != nil {
		q.dnssec = opt.Do()
	}
	if msg := f.cached(q); msg != nil {
		return withNames(msg, query), nil
	}
	if !f.enter(&f.waiting, maxWaiting) {
		return nil, errBusy
	}
	defer f.leave(&f.waiting)
	answer := f.flights.DoChan(fmt.Sprint(q), func() (any, error) {
		if !f.enter(&f.running, maxForwards) {
			return nil, errBusy
		}
		defer f.leave(&f.running)
		// Whoever came first may have gone; the others still want the answer.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forwardTimeout)
		defer cancel()
		msg, err := f.ask(ctx, q)
		if err == nil {
			f.remember(q, msg)
		}
		return msg, err
	})
	select {
	case r := <-answer:
		if r.Err != nil {
			return nil, r.Err
		}
		return withNames(r.Val.(*dns.Msg), query), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// withNames copies an answer and writes the question as it was asked.
func withNames(msg, query *dns.Msg) *dns.Msg {
	out := msg.Copy()
	out.Question = query.Question
	return out
}

func (f *Forwarder) enter(count *int, bound int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if *count >= bound {
		return false
	}
	*count++
	return true
}

func (f *Forwarder) leave(count *int) {
	f.mu.Lock()
	*count--
	f.mu.Unlock()
}

// ask tries one upstream after the other.
func (f *Forwarder) ask(ctx context.Context, q question) (*dns.Msg, error) {
	var errs []error
	for _, upstream := range f.Upstreams() {
		msg, err := f.askOne(ctx, upstream, q)
		if err == nil && msg.Rcode != dns.RcodeServerFailure && msg.Rcode != dns.RcodeRefused {
			return msg, nil
		}
		if err == nil {
			err = errors.New(dns.RcodeToString[msg.Rcode])
		}
		errs = append(errs, fmt.Errorf("upstream %s: %w", upstream, err))
	}
	if len(errs) == 0 {
		return nil, errNoUpstream
	}
	return nil, errors.Join(errs...)
}

// askOne uses UDP, and TCP where the answer is too long for it.
func (f *Forwarder) askOne(ctx context.Context, upstream string, q question) (*dns.Msg, error) {
	msg, err := f.exchange(ctx, "udp", upstream, q)
	if err == nil && msg.Truncated {
		return f.exchange(ctx, "tcp", upstream, q)
	}
	return msg, err
}

func (f *Forwarder) exchange(ctx context.Context, network, upstream string, q question) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, upstreamTimeout)
	defer cancel()
	dial := f.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	conn, err := dial(ctx, network, upstream)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	query := &dns.Msg{}
	query.SetQuestion(q.name, q.qtype)
	query.CheckingDisabled = !q.noCD
	query.SetEdns0(bufferSize, q.dnssec)
	client := &dns.Client{Net: network, UDPSize: bufferSize, Timeout: upstreamTimeout}
	msg, _, err := client.ExchangeWithConnContext(ctx, query, &dns.Conn{Conn: conn, UDPSize: bufferSize})
	if err != nil {
		return nil, err
	}
	if len(msg.Question) != 1 || !strings.EqualFold(msg.Question[0].Name, q.name) || msg.Question[0].Qtype != q.qtype {
		return nil, errors.New("the answer is to another question")
	}
	return msg, nil
}

// cached returns an answer that still holds, with its times to live reduced.
func (f *Forwarder) cached(q question) *dns.Msg {
	now := f.Clock.Now()
	f.mu.Lock()
	c, ok := f.cache[q]
	f.mu.Unlock()
	if !ok || !now.Before(c.until) {
		return nil
	}
	age := uint32(now.Sub(c.from) / time.Second)
	out := c.msg.Copy()
	for _, section := range [][]dns.RR{out.Answer, out.Ns, out.Extra} {
		for _, rr := range section {
			if h := rr.Header(); h.Rrtype != dns.TypeOPT {
				h.Ttl -= min(age, h.Ttl)
			}
		}
	}
	return out
}

func (f *Forwarder) remember(q question, msg *dns.Msg) {
	life := lifetime(msg)
	if life <= 0 {
		return
	}
	now := f.Clock.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cache == nil {
		f.cache = map[question]cached{}
	}
	if len(f.cache) >= maxCached {
		f.shrink(now)
	}
	f.cache[q] = cached{msg, now, now.Add(life)}
}

// shrink drops what has expired, or else any entry: the order of a map is random enough.
func (f *Forwarder) shrink(now time.Time) {
	for k, c := range f.cache {
		if !now.Before(c.until) {
			delete(f.cache, k)
		}
	}
	for k := range f.cache {
		if len(f.cache) < maxCached {
			return
		}
		delete(f.cache, k)
	}
}

// lifetime is how long an answer may be kept: as its records say, but not long.
func lifetime(msg *dns.Msg) time.Duration {
	if msg.Truncated || msg.Rcode != dns.RcodeSuccess && msg.Rcode != dns.RcodeNameError {
		return 0
	}
	life, bounded := maxTTL, false
	for _, section := range [][]dns.RR{msg.Answer, msg.Ns} {
		for _, rr := range section {
			seconds := rr.Header().Ttl
			if soa, ok := rr.(*dns.SOA); ok && len(msg.Answer) == 0 {
				seconds = min(seconds, soa.Minttl) // RFC 2308
			}
			life, bounded = min(life, time.Duration(seconds)*time.Second), true
		}
	}
	if !bounded {
		return 0
	}
	return life
}
