package access

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

func userName(r *http.Request) string { return server.UserOf(r.Context()).Name }

func workspaceOf(r *http.Request) string { return server.NamespaceOf(r.Context()) }

func reply(w http.ResponseWriter, v any) { server.WriteJSON(w, http.StatusOK, v) }

type object = map[string]any

// params are the fields of a call, from the query or a JSON body.
type params map[string]any

func readParams(r *http.Request) (params, error) {
	p := params{}
	for k, v := range r.URL.Query() {
		p[k] = v[0]
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if len(strings.TrimSpace(string(body))) > 0 {
		if err := json.Unmarshal(body, &p); err != nil {
			return nil, model.Invalid("The request body is not a JSON object: %w.", err)
		}
	}
	if p == nil { // null is one for the decoder
		p = params{}
	}
	return p, nil
}

func (p params) text(name string) (string, error) {
	v, ok := p[name].(string)
	if !ok || v == "" {
		return "", mlwire.Missing(name)
	}
	return v, nil
}

func (p params) number(name string) (int64, error) {
	switch v := p[name].(type) {
	case float64:
		if v == float64(int64(v)) {
			return int64(v), nil
		}
	case string:
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			return n, nil
		}
	case nil:
		return 0, mlwire.Missing(name)
	}
	return 0, model.Invalid("Parameter '%s' must be an integer.", name)
}

// ask is one call of the administration.
type ask struct {
	s *Service
	*http.Request
	params
	who       subject
	workspace string
}

// isSelf tells whether the call is about the caller.
func (a *ask) isSelf() bool { return a.params["username"] == a.who.Name }

// rules tells whether the caller administers a workspace.
func (a *ask) rules(workspace string) bool {
	return a.who.Admin || a.s.policy.workspaces && fold(a.who.grants, workspace, key{kindWorkspace, everything}) == Manage
}

type answerer func(*ask) (any, error)

// Endpoints are the routes of users, roles and permissions.
func (s *Service) Endpoints() []server.Endpoint {
	var list []server.Endpoint
	add := func(method, path, verb, summary string, f answerer) {
		list = append(list, route.Both(server.Endpoint{
			Method: method, Pattern: path, Permission: server.Can(verb, "users"), Summary: summary, Codec: s.o.Codec, Handler: s.handler(f),
		})...)
	}
	add("POST", route.V2+"/users/create", "create", "make a user", createUser)
	add("GET", route.V2+"/users/get", "get", "one user", getUser)
	add("GET", route.V2+"/users/list", "list", "all users", listUsers)
	add("GET", route.V2+"/users/current", "get", "who is logged in", currentUser)
	add("PATCH", route.V2+"/users/update-password", "update", "change a password", updatePassword)
	add("PATCH", route.V2+"/users/update-admin", "update", "make a user an administrator", updateAdmin)
	add("DELETE", route.V2+"/users/delete", "delete", "delete a user", removeUser)
	add("GET", route.V3+"/users/current/permissions", "get", "permissions of who is logged in", permissionsOf)
	add("GET", route.V3+"/users/permissions/list", "list", "permissions of a user", permissionsOf)
	add("POST", route.V3+"/users/permissions/grant", "update", "grant a permission", grantPermission)
	add("POST", route.V3+"/users/permissions/revoke", "update", "take a permission back", revokePermission)
	add("GET", route.V3+"/users/permissions/get", "get", "what a user may do with an object", getPermission)
	add("GET", route.V3+"/users/roles/list", "list", "roles of a user", userRoles)
	s.roleEndpoints(add)
	return append(
		list,
		server.Endpoint{
			Method: "GET", Pattern: "/signup", Permission: server.Can("create", "users"), Summary: "form to make a user", Handler: http.HandlerFunc(signup),
		},
		server.Endpoint{
			Method: "POST", Pattern: route.V2 + "/users/create-ui", Permission: server.Can("create", "users"), Summary: "what the form sends", Codec: s.o.Codec,
			Handler: s.handler(nil),
		},
	)
}

// Elsewhere are the same routes where Kubernetes knows the users: they say so.
func Elsewhere(codec mlwire.Codec) []server.Endpoint {
	s := &Service{o: Options{Codec: codec}}
	list := s.Endpoints()
	for i := range list {
		list[i].Permission = server.Public("it only says where users and permissions are kept")
		list[i].Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			e := server.Errorf(http.StatusNotImplemented, "NOT_IMPLEMENTED", "%s is not served here: users and permissions are those of Kubernetes", r.URL.Path)
			e.Remedy = "grant with a RoleBinding to the roles kiwerk-view or kiwerk-edit, and send a service account's token as MLFLOW_TRACKING_TOKEN"
			codec.Error(w, r, e)
		})
	}
	return list
}

// handler answers a call. These routes judge for themselves, so they are not governed again.
func (s *Service) handler(f answerer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := s.asking(r)
		if err != nil {
			s.o.Codec.Error(w, r, err)
			return
		}
		a := &ask{s: s, Request: r, who: who, workspace: workspaceOf(r)}
		if f == nil {
			s.signedUp(a, w)
			return
		}
		if a.params, err = readParams(r); err == nil {
			var answer any
			if answer, err = f(a); err == nil {
				reply(w, answer)
				return
			}
		}
		s.o.Codec.Error(w, r, err)
	})
}

func (a *ask) view(f func(*db.Tx) error) error { return a.s.o.DB.View(a.Context(), f) }

func (a *ask) target() (u user, err error) {
	name, err := a.text("username")
	if err != nil {
		return u, err
	}
	err = a.view(func(t *db.Tx) (err error) {
		u, err = findUser(t, name)
		return err
	})
	return u, err
}

func createUser(a *ask) (any, error) {
	if !a.who.Admin && !a.administers() {
		return nil, errForbidden
	}
	name, err := a.text("username")
	if err != nil {
		return nil, err
	}
	password, err := a.text("password")
	if err != nil {
		return nil, err
	}
	u, err := a.s.create(a.Context(), name, password, false)
	return object{"user": u}, err
}

// administers tells whether the caller administers some workspace.
func (a *ask) administers() bool {
	return slices.ContainsFunc(a.who.grants, func(g grant) bool { return g.kind == kindWorkspace && a.rules(g.workspace) })
}

func getUser(a *ask) (any, error) {
	if _, err := a.text("username"); err != nil {
		return nil, err
	}
	if !a.who.Admin && !a.isSelf() {
		return nil, errForbidden
	}
	u, err := a.target()
	return object{"user": u}, err
}

func listUsers(a *ask) (any, error) {
	if !a.who.Admin && (&caller{policy: a.s.policy, who: a.who, workspace: a.workspace}).create(kindExperiment) != nil {
		return nil, errForbidden
	}
	type entry struct {
		user
		Roles []role `json:"roles"`
	}
	list := []entry{}
	err := a.view(func(t *db.Tx) error {
		all, err := users(t)
		if err != nil {
			return err
		}
		for _, u := range all {
			rs, err := rolesOf(t, u.ID)
			if err != nil {
				return err
			}
			list = append(list, entry{u, a.visible(rs, u.Name)})
		}
		return nil
	})
	return object{"users": list}, err
}

// visible are the roles of a user that the caller may see.
func (a *ask) visible(list []role, of string) []role {
	out := []role{}
	for _, r := range list {
		if of == a.who.Name || a.rules(r.Workspace) {
			out = append(out, r)
		}
	}
	return out
}

func currentUser(a *ask) (any, error) {
	return object{"user": a.who.user, "is_basic_auth": true}, nil
}

func updatePassword(a *ask) (any, error) {
	if _, err := a.text("username"); err != nil {
		return nil, err
	}
	if !a.who.Admin && !a.isSelf() {
		return nil, errForbidden
	}
	u, err := a.target()
	if err != nil {
		return nil, err
	}
	password, err := a.text("password")
	if err != nil {
		return nil, err
	}
	if a.isSelf() {
		current, _ := a.params["current_password"].(string)
		if current == "" {
			return nil, model.Invalid("Current password is required when changing your own password.")
		}
		right, err := a.s.verifier.check(a.Context(), peerOf(a.Request), current, u.password)
		switch {
		case err != nil:
			return nil, err
		case !right:
			return nil, model.Invalid("Current password does not match.")
		case current == password:
			return nil, model.Invalid("New password must differ from the current password.")
		}
	}
	hashed, err := a.s.hash(password)
	if err != nil {
		return nil, err
	}
	return object{}, a.s.update(a.Context(), func(t *db.Tx) error {
		_, err := t.Exec("UPDATE access_users SET password = ? WHERE id = ?", hashed, u.ID)
		return err
	})
}

func updateAdmin(a *ask) (any, error) {
	if !a.who.Admin {
		return nil, errForbidden
	}
	u, err := a.target()
	if err != nil {
		return nil, err
	}
	admin, ok := a.params["is_admin"].(bool)
	if !ok {
		return nil, model.Invalid("Parameter 'is_admin' must be true or false.")
	}
	return object{}, a.s.update(a.Context(), func(t *db.Tx) error {
		return withAdmin(t, func() error {
			_, err := t.Exec("UPDATE access_users SET admin = ? WHERE id = ?", number(admin), u.ID)
			return err
		})
	})
}

func removeUser(a *ask) (any, error) {
	if !a.who.Admin {
		return nil, errForbidden
	}
	if a.isSelf() {
		return nil, server.Errorf(http.StatusBadRequest, "BAD_REQUEST", "Users cannot delete their own account. Ask another admin to delete this user instead.")
	}
	name, err := a.text("username")
	if err != nil {
		return nil, err
	}
	return object{}, a.s.update(a.Context(), func(t *db.Tx) error {
		return withAdmin(t, func() error { return deleteUser(t, name) })
	})
}

func permissionsOf(a *ask) (any, error) {
	if _, given := a.params["username"]; !given {
		a.params["username"] = a.who.Name
	}
	if !a.who.Admin && !a.isSelf() && !a.administers() {
		return nil, errForbidden
	}
	u, err := a.target()
	if err != nil {
		return nil, err
	}
	rows := []object{}
	err = a.view(func(t *db.Tx) error {
		list, err := rolesOf(t, u.ID)
		for _, r := range a.visible(list, u.Name) {
			for _, g := range r.Permissions {
				rows = append(rows, object{
					"role_id": r.ID, "role_name": r.Name, "workspace": r.Workspace,
					"resource_type": g.Kind, "resource_pattern": g.Pattern, "permission": g.Permission,
				})
			}
		}
		return err
	})
	return object{"is_admin": u.Admin, "permissions": rows}, err
}

func userRoles(a *ask) (any, error) {
	if !a.who.Admin && !a.isSelf() && !a.administers() {
		return nil, errForbidden
	}
	u, err := a.target()
	if err != nil {
		return nil, err
	}
	var list []role
	err = a.view(func(t *db.Tx) (err error) {
		list, err = rolesOf(t, u.ID)
		return err
	})
	return object{"roles": a.visible(list, u.Name)}, err
}

// subjectMatter is what a grant is about, in the words of the request.
func (a *ask) subjectMatter() (u user, k key, err error) {
	if u, err = a.target(); err != nil {
		return u, k, err
	}
	if k.kind, err = a.text("resource_type"); err != nil {
		return u, k, err
	}
	if k.id, err = a.text("resource_id"); err != nil {
		return u, k, err
	}
	if k.kind == kindWorkspace {
		return u, k, model.Invalid("resource_type 'workspace' is not supported by the per-user permission convenience APIs. Grant it with a role.")
	}
	if k.kind == kindExperiment && k.id != everything {
		if n, err := model.ParseExperimentID(k.id); err == nil {
			k = experimentKey(n)
		}
	}
	return u, k, nil
}

// manages tells whether the caller may give away permissions on an object.
func (a *ask) manages(k key) bool {
	return a.who.Admin || a.rules(a.workspace) ||
		k.id != everything && allows(a.s.policy.decide(a.who.grants, a.workspace, k), actManage)
}

func grantPermission(a *ask) (any, error) {
	u, k, err := a.subjectMatter()
	if err != nil {
		return nil, hide(a, err)
	}
	permission, err := a.text("permission")
	if err != nil {
		return nil, err
	}
	if err := checkGrant(k.kind, k.id, permission); err != nil {
		return nil, err
	}
	if !a.manages(k) {
		return nil, errForbidden
	}
	return object{}, a.s.update(a.Context(), func(t *db.Tx) error {
		own, err := ownRoleOf(t, u.ID, a.workspace)
		if err != nil {
			return err
		}
		_, err = insertGrant(t, roleGrant{Role: own, Kind: k.kind, Pattern: k.id, Permission: permission})
		if server.AsError(err).Code == model.CodeExists && err != nil {
			err = model.Exists("Permission for user=%s on resource_type=%s, resource_id=%s already exists.", u.Name, k.kind, k.id)
		}
		return err
	})
}

// hide keeps from those who administer nothing which users exist.
func hide(a *ask, err error) error {
	if !a.who.Admin && !a.administers() && model.IsMissing(err) {
		return errForbidden
	}
	return err
}

// granted is what an existing grant is about.
func (a *ask) granted() (u user, k key, err error) {
	if u, k, err = a.subjectMatter(); err != nil {
		return u, k, hide(a, err)
	}
	if _, known := grain[k.kind]; !known {
		return u, k, checkGrant(k.kind, k.id, Read)
	}
	return u, k, nil
}

func revokePermission(a *ask) (any, error) {
	u, k, err := a.granted()
	if err != nil {
		return nil, err
	}
	if !a.manages(k) {
		return nil, errForbidden
	}
	return object{}, a.s.update(a.Context(), func(t *db.Tx) error {
		n, err := t.Exec(`DELETE FROM access_grants WHERE kind = ? AND pattern = ? AND role IN
			(SELECT id FROM access_roles WHERE workspace = ? AND name = ?)`, k.kind, k.id, a.workspace, ownRoleName(u.ID))
		if err == nil && n == 0 {
			err = model.Missing("Permission for user=%s on resource_type=%s, resource_id=%s not found.", u.Name, k.kind, k.id)
		}
		return err
	})
}

func getPermission(a *ask) (any, error) {
	u, k, err := a.granted()
	if err != nil {
		return nil, err
	}
	if !a.isSelf() && !a.manages(k) {
		return nil, errForbidden
	}
	permission := Manage
	if !u.Admin {
		who, err := a.s.subject(a.Context(), u.Name)
		if err != nil {
			return nil, err
		}
		permission = a.s.policy.decide(who.grants, a.workspace, k)
	}
	return object{"allowed": allows(permission, actUse), "permission": permission}, nil
}
