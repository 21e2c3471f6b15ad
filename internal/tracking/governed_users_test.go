package tracking_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// ofOneself are the calls about users that everybody may make: they show the caller, or names only.
var ofOneself = map[string]bool{
	"GET /api/2.0/mlflow/users/current": true, "GET /api/3.0/mlflow/users/current/permissions": true, "GET /api/2.0/mlflow/users/list": true, "GET /signup": true,
}

// TestGoverned_users asks each route of users, roles and permissions for what
// is somebody else's, naming oneself beside.
func TestGoverned_users(t *testing.T) {
	w := govern(t)
	alice := w.own["alice"]
	role := dig(w.v3("POST", "roles/create", `{"name":"readers","workspace":"default"}`, "admin"), "role", "id")
	grant := dig(w.v3("POST", "roles/permissions/add", fmt.Sprintf(`{"role_id":%v,"resource_type":"experiment","resource_pattern":%q,"permission":"READ"}`, role, alice["experiment"]), "admin"), "role_permission", "id")
	w.v3("POST", "roles/assign", fmt.Sprintf(`{"role_id":%v,"username":"reader"}`, role), "admin")
	n := 0
	for _, e := range w.users {
		call := callOf(e)
		if ofOneself[call] {
			continue
		}
		fields := map[string]any{
			"username": "alice", "password": "a new password", "is_admin": true, "current_password": "password of mallory",
			"resource_type": "experiment", "resource_id": alice["experiment"], "resource_pattern": alice["experiment"], "permission": "MANAGE",
			"role_id": role, "role_permission_id": grant, "name": "mine", "workspace": "default",
		}
		if strings.Contains(call, "/roles/assign") || strings.Contains(call, "/permissions/grant") {
			fields["username"] = "mallory" // to help oneself
		}
		m := message{call: call, method: e.Method, path: e.Pattern, body: jsonText(fields)}
		denied := []int{http.StatusForbidden}
		if strings.HasSuffix(call, "/create-ui") {
			denied = append(denied, http.StatusBadRequest)
		}
		for what, change := range map[string]func(*message){
			"plain":                func(*message) {},
			"oneself in the query": func(m *message) { m.query = "username=mallory&role_id=0" },
			"all in the query":     func(m *message) { m.query, m.body = queryOf(fields), "" },
			"oneself in camel case": func(m *message) {
				m.body = joined(fields, map[string]any{"userName": "mallory", "Username": "mallory", "roleId": 0})
			},
			"oneself first":     func(m *message) { m.body = joined(map[string]any{"username": "mallory"}, fields) },
			"another workspace": func(m *message) { m.header = []string{"X-Mlflow-Workspace", "team-b"} },
			"numbers as texts":  func(m *message) { m.body = jsonText(texts(fields)) },
		} {
			v := m
			change(&v)
			statuses := denied
			if what == "another workspace" || what == "numbers as texts" || what == "oneself in camel case" {
				statuses = append(statuses, http.StatusBadRequest)
			}
			w.refused(t, v, "mallory", what, statuses...)
			n++
		}
	}
	for _, call := range []string{"users/create", "users/update-admin", "users/delete", "roles/create"} { // reading is not changing
		w.refused(t, message{call: call, method: http.MethodPost, path: "/api/2.0/mlflow/" + call, body: "{}"}, "reader", "by a reader", http.StatusForbidden, http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotFound)
	}
	t.Logf("%d variants", n)
}

func texts(fields map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range fields {
		out[k] = fmt.Sprint(v)
	}
	return out
}
