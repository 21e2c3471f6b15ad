package access

import (
	"bufio"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
)

func TestPolicy_decide(t *testing.T) {
	exp, run := key{kindExperiment, "1"}, key{tierRun, everything}
	g := func(kind, pattern, permission string) grant { return grant{"default", kind, pattern, permission} }
	cases := map[string]struct {
		policy policy
		grants []grant
		keys   []key
		want   string
	}{
		"Default":          {policy{standard: Read}, nil, []key{exp}, Read},
		"Grant":            {policy{standard: Read}, []grant{g(kindExperiment, "1", Edit)}, []key{exp}, Edit},
		"OtherObject":      {policy{standard: Read}, []grant{g(kindExperiment, "2", Edit)}, []key{exp}, Read},
		"OtherWorkspace":   {policy{standard: Read}, []grant{{"w", kindExperiment, "1", Edit}}, []key{exp}, Read},
		"All":              {policy{standard: Read}, []grant{g(kindExperiment, "*", Edit)}, []key{exp}, Edit},
		"Highest":          {policy{standard: Read}, []grant{g(kindExperiment, "*", Use), g(kindExperiment, "1", Manage)}, []key{exp}, Manage},
		"DenyWins":         {policy{standard: Manage}, []grant{g(kindExperiment, "*", Manage), g(kindExperiment, "1", Deny)}, []key{exp}, Deny},
		"NotBelowDefault":  {policy{standard: Edit}, []grant{g(kindExperiment, "1", Read)}, []key{exp}, Edit},
		"NearerFirst":      {policy{standard: None}, []grant{g(tierRun, "*", Read), g(kindExperiment, "1", Manage)}, []key{run, exp}, Read},
		"Inherited":        {policy{standard: None}, []grant{g(kindExperiment, "1", Manage)}, []key{run, exp}, Manage},
		"WorkspaceAdmin":   {policy{standard: None, workspaces: true}, []grant{g(kindWorkspace, "*", Manage), g(kindExperiment, "1", Deny)}, []key{exp}, Manage},
		"NoMember":         {policy{standard: Read, workspaces: true}, nil, []key{exp}, None},
		"Member":           {policy{standard: Read, workspaces: true}, []grant{g(kindWorkspace, "*", Use)}, []key{exp}, None},
		"OpenDefault":      {policy{standard: Read, workspaces: true, open: true}, nil, []key{exp}, Read},
		"GrantNotMember":   {policy{standard: None, workspaces: true}, []grant{g(kindExperiment, "1", Edit)}, []key{exp}, Edit},
		"UnknownOfAnother": {policy{standard: None}, []grant{g(kindRegistered, "1", Manage)}, []key{exp}, None},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := c.policy.decide(c.grants, "default", c.keys...); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestCheckGrant(t *testing.T) {
	for _, ok := range []roleGrant{{Kind: kindExperiment, Pattern: "1", Permission: Edit}, {Kind: tierRun, Pattern: "*", Permission: Deny}, {Kind: kindWorkspace, Pattern: "*", Permission: Use}} {
		if err := checkGrant(ok.Kind, ok.Pattern, ok.Permission); err != nil {
			t.Errorf("%+v: %v", ok, err)
		}
	}
	for _, bad := range []roleGrant{
		{Kind: kindExperiment, Pattern: "1", Permission: "OWN"},
		{Kind: kindExperiment, Pattern: "1", Permission: None},
		{Kind: kindExperiment, Permission: Read},
		{Kind: "pod", Pattern: "*", Permission: Read},
		{Kind: tierRun, Pattern: "1", Permission: Read},
		{Kind: kindWorkspace, Pattern: "*", Permission: Edit},
	} {
		if checkGrant(bad.Kind, bad.Pattern, bad.Permission) == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

func TestConfig_read(t *testing.T) {
	c := Config{Standard: Read, Admin: "admin"}
	ini := "# words\n[other]\nadmin_username = x\n[mlflow]\ndefault_permission: EDIT\nadmin_username = root\nadmin_password=se=cret\ngrant_default_workspace_access = True\ndatabase_uri = sqlite:///basic_auth.db\n"
	if err := c.read(bufio.NewScanner(strings.NewReader(ini))); err != nil {
		t.Fatal(err)
	}
	if want := (Config{Standard: Edit, Admin: "root", Password: "se=cret", OpenDefault: true}); c != want {
		t.Errorf("got %+v", c)
	}
	for _, bad := range []string{"[mlflow]\nnothing", "[mlflow]\nauthorization_function = my.module:f"} {
		if c.read(bufio.NewScanner(strings.NewReader(bad))) == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestVerifier(t *testing.T) {
	now := time.Unix(0, 0)
	v := newVerifier(func() time.Time { return now }, 10)
	old, err := hash("old password", 10)
	if err != nil {
		t.Fatal(err)
	}
	changed, err := hash("new password", 10)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is remembered
		for _, c := range []struct {
			password, stored string
			want             bool
		}{{"old password", old, true}, {"other", old, false}, {"old password", changed, false}, {"old password", "", false}} {
			if got, err := v.check(t.Context(), "peer", c.password, c.stored); err != nil || got != c.want {
				t.Errorf("%s: %v %v", c.password, got, err)
			}
		}
	}
	if len(v.right) != 1 {
		t.Errorf("%d passwords are remembered", len(v.right))
	}
	for _, broken := range []string{"x", "pbkdf2-sha256$x$y$z", "scrypt$1$a$b"} {
		if verify("", broken) {
			t.Errorf("%q verifies", broken)
		}
	}
}

// TestVerifier_busy: while others guess, who has logged in before is let in at
// once, and nobody waits for ever.
func TestVerifier_busy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVerifier(time.Now, 10)
		stored, err := hash("right password", 10)
		if err != nil {
			t.Fatal(err)
		}
		check := func(peer, password string) error {
			_, err := v.check(t.Context(), peer, password, stored)
			return err
		}
		if err := check("guest", "right password"); err != nil {
			t.Fatal(err)
		}
		for range maxTries {
			v.busy <- struct{}{}
		}
		var answers sync.WaitGroup
		for range maxOfPeer {
			answers.Go(func() {
				if err := check("guesser", "wrong"); !errors.Is(err, errBusy) {
					t.Errorf("got %v", err)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		if err := check("guesser", "wrong"); !errors.Is(err, errBusy) || time.Since(start) != 0 {
			t.Errorf("one more of the same: %v after %v", err, time.Since(start))
		}
		for range 10 { // longer than it is remembered unused
			if err := check("guest", "right password"); err != nil {
				t.Errorf("known: %v", err)
			}
			<-time.After(rememberFor / 2) // of the bubble, so at once
		}
		answers.Wait()
		start = time.Now()
		if err := check("other", "right password"); err != nil {
			t.Errorf("a known password from elsewhere: %v", err)
		}
		if err := check("other", "wrong"); !errors.Is(err, errBusy) || time.Since(start) != patience {
			t.Errorf("the last one: %v after %v", err, time.Since(start))
		}
		for range maxTries {
			<-v.busy
		}
		if right, err := v.check(t.Context(), "other", "wrong", stored); right || err != nil || v.inLine != 0 || len(v.waiting) != 0 {
			t.Errorf("afterwards: %v %v, %d wait", right, err, v.inLine)
		}
	})
}

// TestService_busy: the answer says when to come again.
func TestService_busy(t *testing.T) {
	w := httptest.NewRecorder()
	mlwire.Codec{}.Error(w, httptest.NewRequest("GET", "/", http.NoBody), errBusy)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "5" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}
