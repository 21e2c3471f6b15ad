package access

import (
	"bufio"
	"encoding/json"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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

func TestReadRequest_findsEveryName(t *testing.T) {
	cases := map[string]struct {
		body string
		want map[string][]string
		bad  bool
	}{
		"Plain":       {body: `{"run_id":"a","x":{"run_id":["b",1]}}`, want: map[string][]string{"run_id": {"a", "b", "1"}}},
		"Escaped":     {body: `{"run\u005fid":"\u0061"}`, want: map[string][]string{"run_id": {"a"}}},
		"Twice":       {body: `{"run_id":"a","run_id":"b"}`, want: map[string][]string{"run_id": {"a", "b"}}},
		"Encoded":     {body: `"{\"run_id\":\"a\"}"`, want: map[string][]string{"run_id": {"a"}}},
		"Camel":       {body: `{"runId":"a","experimentIds":["b"],"newName":"c"}`, want: map[string][]string{"run_id": {"a"}, "experiment_ids": {"b"}, "new_name": {"c"}}},
		"Null":        {body: `{"run_id":null}`, want: map[string][]string{}},
		"NamesInText": {body: `{"value":"\"run_id\":\"x\""}`, want: map[string][]string{}},
		"Empty":       {body: ` `, want: map[string][]string{}},
		"CutOff":      {body: `{"run_id":"a"`, bad: true},
		"More":        {body: `{} {"run_id":"a"}`, bad: true},
		"Deep":        {body: strings.Repeat("[", 200) + strings.Repeat("]", 200), bad: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			q, err := readRequest(httptest.NewRequest("POST", "/", strings.NewReader(c.body)), true, nil)
			if c.bad {
				if err == nil {
					t.Fatal("no error")
				}
				return
			}
			if err != nil || cmp.Diff(c.want, q.fields) != "" {
				t.Errorf("error %v, diff %s", err, cmp.Diff(c.want, q.fields))
			}
		})
	}
}

// FuzzReadRequest compares with the library: whatever it can read, none of its
// values of a named field is missed.
func FuzzReadRequest(f *testing.F) {
	for _, seed := range []string{`{"run_id":"a"}`, `{"a":[{"name":"x\ny"}],"name":1e3}`, `"{\"name\":\"a\"}"`, `{"name":"\ud800"}`, "{\"name\":\"\xff\"}", `[]`, `{"\u006eame":{"name":true}}`, `{"runId":"a","run_id":1}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var v any
		d := json.NewDecoder(strings.NewReader(body))
		d.UseNumber()
		valid := json.Valid([]byte(body)) && d.Decode(&v) == nil
		q, err := readRequest(httptest.NewRequest("POST", "/", strings.NewReader(body)), true, nil)
		if !valid || err != nil {
			return // a refusal is safe
		}
		if inner, ok := v.(string); ok {
			d = json.NewDecoder(strings.NewReader(inner))
			d.UseNumber()
			if d.Decode(&v) != nil {
				return
			}
		}
		expect(t, q, "", v)
	})
}

func expect(t *testing.T, q *request, field string, v any) {
	t.Helper()
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			expect(t, q, k, e)
		}
	case []any:
		for _, e := range v {
			expect(t, q, field, e)
		}
	case string:
		if name := spellings[field]; name != "" && v != "" && !slices.Contains(q.fields[name], v) {
			t.Errorf("%s %q is missed", field, v)
		}
	case json.Number:
		if name := spellings[field]; name != "" && !slices.Contains(q.fields[name], v.String()) {
			t.Errorf("%s %s is missed", field, v)
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
