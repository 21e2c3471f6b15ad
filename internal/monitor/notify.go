package monitor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

// Notifier sends alerts to webhooks.
type Notifier struct {
	client *http.Client
}

const webhookTimeout = 10 * time.Second

// ErrPrivateAddress is the answer to a webhook in a private network.
var ErrPrivateAddress = errors.New("the webhook's address is in a private network")

// NewNotifier returns a notifier. Unless private is set, addresses of private
// networks are refused when the connection is made, so that no name that
// resolves to one later gets around it.
func NewNotifier(private bool) *Notifier {
	dialer := &net.Dialer{Timeout: webhookTimeout}
	if !private {
		dialer.Control = refusePrivate
	}
	return NewNotifierDialing(dialer.DialContext)
}

// NewNotifierDialing returns a notifier whose connections another part makes,
// which decides where they may lead.
func NewNotifierDialing(dial func(ctx context.Context, network, address string) (net.Conn, error)) *Notifier {
	return &Notifier{client: &http.Client{
		Timeout: webhookTimeout,
		Transport: &http.Transport{
			DialContext: dial, TLSHandshakeTimeout: webhookTimeout, ResponseHeaderTimeout: webhookTimeout,
			MaxIdleConns: 4, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true, // no Proxy: it would be dialled in the place of the address
		},
		// A redirect could lead anywhere and lose the body.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// notPublic are the networks that netip has no word for.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"),
}

func refusePrivate(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s", ErrPrivateAddress, address)
	}
	a := ap.Addr().Unmap().WithZone("")
	public := a.IsGlobalUnicast() && !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast()
	for _, p := range notPublic {
		public = public && !p.Contains(a)
	}
	if !public {
		return ErrPrivateAddress
	}
	return nil
}

// Send posts what Slack's incoming webhooks take, and the same as fields. The
// error never holds the address, which is a secret.
func (n *Notifier) Send(ctx context.Context, address string, d Delivery) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return errors.New("the address in the Secret is no http or https URL")
	}
	body, err := json.Marshal(payload(d))
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return errors.New("the address in the Secret is no http or https URL")
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "kiwerk")
	// A receiver can tell a repetition after a crash from a new alert.
	r.Header.Set("Idempotency-Key", d.Alert.ID+"/"+d.State)
	resp, err := n.client.Do(r)
	if err != nil {
		return withoutAddress(err)
	}
	defer func() { _ = resp.Body.Close() }()                     // nothing more is read
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // so that the connection can be used again
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("the webhook answered %d", resp.StatusCode)
	}
	return nil
}

// withoutAddress drops the URL that net/http puts into its errors.
func withoutAddress(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, ErrPrivateAddress):
		return ErrPrivateAddress
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("the webhook did not answer in time")
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("the webhook refused the connection")
	}
	return errors.New("the webhook could not be reached")
}

type webhookBody struct {
	Text         string          `json:"text"`
	ID           string          `json:"id"`
	State        string          `json:"state"`
	Kind         string          `json:"kind"`
	Monitor      string          `json:"monitor"`
	Endpoint     string          `json:"endpoint"`
	Model        string          `json:"model"`
	ModelVersion string          `json:"modelVersion"`
	Opened       time.Time       `json:"opened"`
	Numbers      json.RawMessage `json:"numbers"`
}

func payload(d Delivery) webhookBody {
	a := d.Alert
	text := fmt.Sprintf("%s (endpoint %s, model %s version %s)", a.Message, a.Endpoint, a.Model, a.ModelVersion)
	if d.State == StateResolved {
		text = fmt.Sprintf("Resolved: %s. It was: %s", a.Outcome, text)
	}
	return webhookBody{
		Text: text, ID: a.ID, State: d.State, Kind: a.Kind, Monitor: a.Monitor, Endpoint: a.Endpoint,
		Model: a.Model, ModelVersion: a.ModelVersion, Opened: a.Opened, Numbers: a.Numbers,
	}
}

// Backoff is how long to wait after a number of failed attempts.
func Backoff(attempts int) time.Duration {
	const first, most = 2 * time.Second, 10 * time.Minute
	d := first << min(attempts, 20)
	return min(d, most)
}
