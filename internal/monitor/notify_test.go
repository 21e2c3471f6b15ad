package monitor

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func delivery() Delivery {
	return Delivery{State: StateFiring, Alert: Alert{
		ID: "drift-1", Kind: AlertDrift, Monitor: "parts", Endpoint: "parts", Model: "reader", ModelVersion: "1",
		Message: "the inputs have drifted", Numbers: json.RawMessage(`{"features":3}`),
	}}
}

func TestNotifier_Send(t *testing.T) {
	var got struct{ Text, ID, State string }
	var key string
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key = r.Header.Get("Idempotency-Key")
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if err := json.Unmarshal(b, &got); err != nil {
			t.Error(err)
		}
	}))
	defer hook.Close()
	if err := NewNotifier(true).Send(t.Context(), hook.URL+"/secret-token", delivery()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got.Text, "drifted (endpoint parts, model reader version 1)") || got.ID != "drift-1" || got.State != StateFiring || key != "drift-1/firing" {
		t.Errorf("got %+v, key %q", got, key)
	}
}

func TestNotifier_Send_failuresKeepTheAddressSecret(t *testing.T) {
	redirected := false
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/500/secret-token":
			w.WriteHeader(http.StatusInternalServerError)
		case "/redirect/secret-token":
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		case "/hangup/secret-token":
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			c.Close()
		default:
			redirected = true
		}
	}))
	defer hook.Close()
	closed := httptest.NewServer(nil)
	closed.Close()
	cases := map[string]struct {
		address, want string
		private       bool
	}{
		"ServerError": {hook.URL + "/500/secret-token", "answered 500", true},
		"Redirect":    {hook.URL + "/redirect/secret-token", "answered 307", true},
		"HangUp":      {hook.URL + "/hangup/secret-token", "could not be reached", true},
		"Closed":      {closed.URL + "/secret-token", "refused the connection", true},
		"Private":     {hook.URL + "/secret-token", "private network", false},
		"NoURL":       {"secret-token", "no http or https URL", true},
		"File":        {"file:///etc/secret-token", "no http or https URL", true},
		"NotParsable": {"http://[secret-token", "no http or https URL", true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := NewNotifier(c.private).Send(t.Context(), c.address, delivery())
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret-token") || strings.Contains(err.Error(), "127.0.0.1") {
				t.Errorf("got %v, want %q without the address", err, c.want)
			}
		})
	}
	if redirected {
		t.Error("a redirect was followed")
	}
}

func TestRefusePrivate(t *testing.T) {
	cases := map[string]bool{
		"8.8.8.8:443": true, "[2606:4700::1111]:443": true,
		"127.0.0.1:80": false, "10.0.0.1:80": false, "172.16.0.1:80": false, "192.168.1.1:80": false, "169.254.169.254:80": false,
		"100.64.0.1:80": false, "0.0.0.0:80": false, "224.0.0.1:80": false, "255.255.255.255:80": false,
		"[::1]:80": false, "[::]:80": false, "[fe80::1%eth0]:80": false, "[fd00::1]:80": false, "[::ffff:127.0.0.1]:80": false,
		"[64:ff9b::7f00:1]:80": false, "[2002:7f00:1::]:80": false, "nonsense": false,
	}
	for address, public := range cases {
		if err := refusePrivate("tcp", address, nil); (err == nil) != public || err != nil && !errors.Is(err, ErrPrivateAddress) {
			t.Errorf("%s: %v, public is %v", address, err, public)
		}
	}
}

func TestBackoff(t *testing.T) {
	last := time.Duration(0)
	for n := range 30 {
		d := Backoff(n)
		if d < last || d > 10*time.Minute {
			t.Errorf("attempt %d: %v after %v", n, d, last)
		}
		last = d
	}
}
