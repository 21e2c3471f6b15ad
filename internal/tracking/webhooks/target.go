package webhooks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// errPrivate is the answer to a connection that would not leave for the internet.
var errPrivate = errors.New("its address is not a public IP address")

// refusePrivate is the Control of a net.Dialer: it sees the address that is
// about to be connected to, whatever the name resolved to before.
func (s *Service) refusePrivate(_, address string, _ syscall.RawConn) error {
	if ap, err := netip.ParseAddrPort(address); err != nil || !s.public(ap.Addr()) {
		return errPrivate
	}
	return nil
}

// maxURL bounds an address.
const maxURL = 500

// parseTarget reads the address of a receiver and refuses what programs
// understand in different ways.
func parseTarget(text string, schemes []string) (*url.URL, error) {
	if strings.TrimSpace(text) == "" {
		return nil, model.Invalid("Webhook URL cannot be empty or just whitespace: '%s'", text)
	}
	if len(text) > maxURL {
		return nil, model.Invalid("Webhook URL is %d characters long, the limit is %d.", len(text), maxURL)
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }); i >= 0 {
		return nil, model.Invalid("Invalid webhook URL: character %d is a space, a backslash or not ASCII. Write it as %%XX, and a host name in its xn-- form.", i+1)
	}
	u, err := url.Parse(text)
	if err != nil {
		var cause *url.Error
		if errors.As(err, &cause) {
			err = cause.Err
		}
		return nil, model.Invalid("Invalid webhook URL: %s.", err)
	}
	if !slices.Contains(schemes, u.Scheme) {
		return nil, model.Invalid("Invalid webhook URL scheme: '%s'. Allowed schemes are: %s.", u.Scheme, strings.Join(schemes, ", "))
	}
	if u.User != nil {
		return nil, model.Invalid("Webhook URL must not include a user name or password; sign deliveries with a secret instead.")
	}
	if u.Opaque != "" || u.Hostname() == "" {
		return nil, model.Invalid("Webhook URL must include a hostname.")
	}
	return u, checkAuthority(u)
}

func checkAuthority(u *url.URL) error {
	host := u.Hostname()
	if strings.ContainsAny(host, "%@/?#") {
		return model.Invalid("Webhook URL host '%s' is not a host name.", host)
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return model.Invalid("Webhook URL port '%s' is not a port.", port)
		}
	}
	last := strings.TrimSuffix(host, ".")
	last = last[strings.LastIndexByte(last, '.')+1:]
	if _, err := netip.ParseAddr(host); err != nil && (strings.Contains(host, ":") || numeric(last)) {
		return model.Invalid("Webhook URL host '%s' is not a canonical IP address literal.", host)
	}
	return nil
}

// numeric are the last labels that make a name an address for some programs: 127.1, 0x7f.0.0.1, 2130706433.
func numeric(label string) bool {
	if label == "" {
		return true
	}
	hex, ok := strings.CutPrefix(strings.ToLower(label), "0x")
	if ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

// resolveTimeout bounds the look at a name when a webhook is made.
const resolveTimeout = 5 * time.Second

// checkTarget is the check when a webhook is made, for the sake of a clear
// answer; what a name resolves to later is checked when it is connected to.
func (s *Service) checkTarget(ctx context.Context, text string) error {
	u, err := parseTarget(text, s.o.Schemes)
	if err != nil || s.o.AllowPrivate {
		return err
	}
	host := u.Hostname()
	list := []netip.Addr{}
	if a, err := netip.ParseAddr(host); err == nil {
		list = append(list, a)
	} else {
		ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
		defer cancel()
		if list, err = s.o.Lookup(ctx, host); err != nil {
			return model.Invalid("Cannot resolve Webhook URL hostname '%s': %s", host, why(err))
		}
	}
	for _, a := range list {
		if !s.public(a) {
			return model.Invalid("Webhook URL must not resolve to a non-public IP address, and '%s' does. Set MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true on the server to allow receivers in private networks.", host)
		}
	}
	return nil
}

func why(err error) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "there is no such host."
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer in %s.", resolveTimeout)
	}
	return "the name server did not answer."
}

// lookup resolves a name as connections do.
func lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}
