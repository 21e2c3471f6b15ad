package access

import (
	"bufio"
	"strings"
	"testing"
	"time"
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
		"Member":           {policy{standard: Read, workspaces: true}, []grant{g(kindWorkspace, "*", Use)}, []key{exp}, Read},
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
		if !v.check(t.Context(), "old password", old) || v.check(t.Context(), "other", old) || v.check(t.Context(), "old password", changed) || v.check(t.Context(), "old password", "") {
			t.Error("a wrong password is right, or the right one wrong")
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
