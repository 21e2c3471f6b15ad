package alone

import (
	"slices"
	"strings"
	"testing"
)

func TestWorkspaces(t *testing.T) { onBoth(t, testWorkspaces) }

func testWorkspaces(t *testing.T, database string) {
	t.Helper()
	url, _ := start(t, func(o *Options) { o.Database, o.Workspaces = database, true })
	spaces, experiments := url+"/api/3.0/mlflow/workspaces", url+"/api/2.0/mlflow/experiments"
	a := []string{"X-MLFLOW-WORKSPACE", "team-a"}
	want(t, 404, "GET", experiments+"/get?experiment_id=0", nil, a)
	want(t, 201, "POST", spaces, object{"name": "team-a", "description": "d"}, nil)
	want(t, 400, "POST", spaces, object{"name": "team-a"}, nil)
	for _, bad := range []string{"", "a", "Team", "-a", "default", "api"} {
		want(t, 400, "POST", spaces, object{"name": bad}, nil)
	}
	if body := want(t, 200, "GET", spaces, nil, nil); !strings.Contains(body, `"default"`) || !strings.Contains(body, `"team-a"`) {
		t.Error(body)
	}
	want(t, 200, "PATCH", spaces+"/team-a", object{"description": "e"}, nil)
	if body := want(t, 200, "GET", spaces+"/team-a", nil, nil); field(t, body, "workspace", "description") != "e" {
		t.Error(body)
	}
	want(t, 200, "POST", experiments+"/create", object{"name": "x"}, a)
	want(t, 404, "GET", experiments+"/get-by-name?experiment_name=x", nil, nil)
	want(t, 400, "DELETE", spaces+"/team-a", nil, nil)
	want(t, 400, "DELETE", spaces+"/default", nil, nil)
	want(t, 400, "DELETE", spaces+"/team-a?mode=cascade", nil, nil)
	want(t, 201, "POST", spaces, object{"name": "team-b"}, nil)
	want(t, 204, "DELETE", spaces+"/team-b", nil, nil)
	want(t, 404, "GET", spaces+"/team-b", nil, nil)
}

func TestWorkspaces_off(t *testing.T) {
	url, _ := start(t, nil)
	if body := want(t, 200, "GET", url+"/api/3.0/mlflow/server-info", nil, []string{"X-MLFLOW-WORKSPACE", "a1"}); field(t, body, "workspaces_enabled") != "false" {
		t.Error(body)
	}
	want(t, 400, "GET", url+"/api/2.0/mlflow/experiments/get?experiment_id=0", nil, []string{"X-MLFLOW-WORKSPACE", "a1"})
	want(t, 400, "GET", url+"/api/3.0/mlflow/workspaces", nil, nil)
}

func TestWorkspaces_ofUsers(t *testing.T) { onBoth(t, testWorkspacesOfUsers) }

func testWorkspacesOfUsers(t *testing.T, database string) {
	t.Helper()
	url, alice, bob := guardedIn(t, database, "", true)
	want(t, 201, "POST", url+"/api/3.0/mlflow/workspaces", object{"name": "team-a"}, admin)
	want(t, 403, "POST", url+"/api/3.0/mlflow/workspaces", object{"name": "mine"}, alice)
	want(t, 400, "POST", url+"/api/3.0/mlflow/workspaces", object{"name": "team-b", "trace_archival_config": object{"retention": "30d"}}, admin)
	want(t, 200, "PATCH", url+"/api/3.0/mlflow/workspaces/team-a", object{"trace_archival_config": object{"location": ""}}, admin)
	for name, says := range map[string]string{"": "Missing value for required parameter 'name'", "Team-A": "Workspace name 'Team-A' must match the pattern", "default": "reserved"} {
		if answer := want(t, 400, "POST", url+"/api/3.0/mlflow/workspaces", object{"name": name}, admin); !strings.Contains(answer, says) {
			t.Error(answer)
		}
	}
	for _, name := range []string{"team-a", "nobody-made-it"} { // a stranger cannot tell which one exists
		want(t, 401, "GET", url+"/api/2.0/mlflow/experiments/get?experiment_id=0", nil, []string{"X-MLFLOW-WORKSPACE", name})
	}
	role := field(t, want(t, 200, "POST", url+"/api/3.0/mlflow/roles/create", object{"name": "members", "workspace": "team-a"}, admin), "role", "id")
	want(t, 200, "POST", url+"/api/3.0/mlflow/roles/permissions/add", object{"role_id": role, "resource_type": "workspace", "resource_pattern": "*", "permission": "USE"}, admin)
	want(t, 200, "POST", url+"/api/3.0/mlflow/roles/assign", object{"role_id": role, "username": "alice"}, admin)
	in := func(who []string) []string { return append(slices.Clone(who), "X-MLFLOW-WORKSPACE", "team-a") }
	made := field(t, want(t, 200, "POST", url+"/api/2.0/mlflow/experiments/create", object{"name": "x"}, in(alice)), "experiment_id")
	want(t, 200, "GET", url+"/api/2.0/mlflow/experiments/get?experiment_id="+made, nil, in(alice))
	want(t, 403, "POST", url+"/api/2.0/mlflow/experiments/create", object{"name": "y"}, in(bob))
	want(t, 403, "POST", url+"/api/2.0/mlflow/experiments/create", object{"name": "y"}, alice)
	if body := want(t, 200, "GET", url+"/api/3.0/mlflow/workspaces", nil, bob); strings.Contains(body, "team-a") {
		t.Error(body)
	}
	if body := want(t, 200, "GET", url+"/api/3.0/mlflow/workspaces", nil, alice); !strings.Contains(body, "team-a") {
		t.Error(body)
	}
	// A member makes what is theirs, and does not see what is of others.
	want(t, 200, "POST", url+"/api/3.0/mlflow/roles/assign", object{"role_id": role, "username": "bob"}, admin)
	want(t, 200, "POST", url+"/api/2.0/mlflow/experiments/create", object{"name": "y"}, in(bob))
	want(t, 403, "GET", url+"/api/2.0/mlflow/experiments/get?experiment_id="+made, nil, in(bob))
	other := field(t, want(t, 200, "POST", url+"/api/3.0/mlflow/roles/create", object{"name": "others", "workspace": "team-a"}, admin), "role", "id")
	if answer := want(t, 400, "PATCH", url+"/api/3.0/mlflow/roles/update", object{"role_id": other, "name": "members"}, admin); !strings.Contains(answer, "already exists") {
		t.Error(answer)
	}
}

// Who made an object in a workspace still manages it after it has moved to the
// standard one; what was granted on other names there does not count here.
func TestWorkspaces_ofUsersMoved(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		url, alice, bob := guardedIn(t, database, "[mlflow]\ndefault_permission = NO_PERMISSIONS\n", true)
		spaces, v2, v3 := url+"/api/3.0/mlflow/workspaces", url+"/api/2.0/mlflow/", url+"/api/3.0/mlflow/"
		in := func(who []string) []string { return append(slices.Clone(who), "X-MLFLOW-WORKSPACE", "team") }
		want(t, 201, "POST", spaces, object{"name": "team"}, admin)
		role := field(t, want(t, 200, "POST", v3+"roles/create", object{"name": "members", "workspace": "team"}, admin), "role", "id")
		want(t, 200, "POST", v3+"roles/permissions/add", object{"role_id": role, "resource_type": "workspace", "resource_pattern": "*", "permission": "USE"}, admin)
		want(t, 200, "POST", v3+"roles/assign", object{"role_id": role, "username": "alice"}, admin)
		exp := field(t, want(t, 200, "POST", v2+"experiments/create", object{"name": "x"}, in(alice)), "experiment_id")
		want(t, 200, "POST", v2+"registered-models/create", object{"name": "m"}, in(alice))
		want(t, 200, "POST", v2+"registered-models/create", object{"name": "other"}, admin)
		for _, model := range []string{"m", "other"} { // there is no other in team
			want(t, 200, "POST", v3+"users/permissions/grant", object{"username": "bob", "resource_type": "registered_model", "resource_id": model, "permission": "READ"}, in(admin))
		}
		want(t, 204, "DELETE", spaces+"/team?mode=SET_DEFAULT", nil, admin)
		want(t, 200, "POST", v2+"experiments/update", object{"experiment_id": exp, "new_name": "y"}, alice)
		want(t, 200, "PATCH", v2+"registered-models/update", object{"name": "m", "description": "d"}, alice)
		want(t, 200, "GET", v2+"registered-models/get?name=m", nil, bob)
		want(t, 403, "GET", v2+"registered-models/get?name=other", nil, bob)
		want(t, 403, "GET", v2+"experiments/get?experiment_id="+exp, nil, bob)
		want(t, 403, "POST", v2+"experiments/create", object{"name": "z"}, alice)
	})
}
