package access

import (
	"errors"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

func (s *Service) roleEndpoints(add func(method, path, verb, summary string, f answerer)) {
	add("POST", route.V3+"/roles/create", "create", "make a role", createRole)
	add("GET", route.V3+"/roles/get", "get", "one role", withRole(func(_ *ask, r role) (any, error) { return object{"role": r}, nil }))
	add("GET", route.V3+"/roles/list", "list", "roles", listRoles)
	add("PATCH", route.V3+"/roles/update", "update", "change a role", withRole(updateRole))
	add("DELETE", route.V3+"/roles/delete", "delete", "delete a role", withRole(deleteRole))
	add("POST", route.V3+"/roles/permissions/add", "update", "add a permission to a role", withRole(addRoleGrant))
	add("DELETE", route.V3+"/roles/permissions/remove", "update", "remove a permission of a role", withGrant(removeRoleGrant))
	add("GET", route.V3+"/roles/permissions/list", "list", "permissions of a role", withRole(func(_ *ask, r role) (any, error) { return object{"role_permissions": r.Permissions}, nil }))
	add("PATCH", route.V3+"/roles/permissions/update", "update", "change a permission of a role", withGrant(updateRoleGrant))
	add("POST", route.V3+"/roles/assign", "update", "give a role to a user", withRole(assignRole))
	add("DELETE", route.V3+"/roles/unassign", "update", "take a role from a user", withRole(unassignRole))
	add("GET", route.V3+"/roles/users/list", "list", "users of a role", withRole(roleUsers))
}

// withRole finds the role that a call is about, for those who administer its workspace.
func withRole(f func(*ask, role) (any, error)) answerer {
	return func(a *ask) (any, error) {
		id, err := a.number("role_id")
		if err != nil {
			return nil, err
		}
		var r role
		err = a.view(func(t *db.Tx) (err error) {
			r, err = findRole(t, id)
			return err
		})
		if err != nil {
			return nil, hide(a, err)
		}
		if !a.rules(r.Workspace) {
			return nil, errForbidden
		}
		return f(a, r)
	}
}

// withGrant does the same for one permission of a role.
func withGrant(f func(*ask, roleGrant) (any, error)) answerer {
	return func(a *ask) (any, error) {
		id, err := a.number("role_permission_id")
		if err != nil {
			return nil, err
		}
		var g roleGrant
		err = a.view(func(t *db.Tx) error {
			err := t.Row("SELECT id, role, kind, pattern, permission FROM access_grants WHERE id = ?", id).Scan(&g.ID, &g.Role, &g.Kind, &g.Pattern, &g.Permission)
			if db.IsNoRows(err) {
				return model.Missing("Role permission with id=%d not found", id)
			}
			return err
		})
		if err != nil {
			return nil, hide(a, err)
		}
		a.params["role_id"] = float64(g.Role)
		return withRole(func(a *ask, _ role) (any, error) { return f(a, g) })(a)
	}
}

func (a *ask) description() (*string, error) {
	switch d := a.params["description"].(type) {
	case nil:
		return nil, nil //nolint:nilnil // A role may have none.
	case string:
		return &d, nil
	}
	return nil, model.Invalid("Role description must be a string or null.")
}

func createRole(a *ask) (any, error) {
	name, err := a.text("name")
	if err != nil {
		return nil, err
	}
	workspace, err := a.text("workspace")
	if err != nil {
		return nil, err
	}
	if !a.rules(workspace) {
		return nil, errForbidden
	}
	if err := checkRoleName(name); err != nil {
		return nil, err
	}
	r := role{Name: name, Workspace: workspace, Permissions: []roleGrant{}}
	if r.Description, err = a.description(); err != nil {
		return nil, err
	}
	err = a.s.update(a.Context(), func(t *db.Tx) (err error) {
		r.ID, err = insertRole(t, name, workspace, r.Description)
		return err
	})
	return object{"role": r}, err
}

func listRoles(a *ask) (any, error) {
	wanted := a.URL.Query()["workspace"]
	if len(wanted) == 0 && !a.who.Admin {
		return nil, errForbidden
	}
	for _, w := range wanted {
		if !a.rules(w) {
			return nil, errForbidden
		}
	}
	list := []role{}
	err := a.view(func(t *db.Tx) error {
		if len(wanted) == 0 {
			all, err := roles(t, "")
			list = append(list, all...)
			return err
		}
		for _, w := range wanted {
			some, err := roles(t, "WHERE r.workspace = ?", w)
			if err != nil {
				return err
			}
			list = append(list, some...)
		}
		return nil
	})
	return object{"roles": list}, err
}

func updateRole(a *ask, r role) (any, error) {
	description, err := a.description()
	if err != nil {
		return nil, err
	}
	name, named := a.params["name"].(string)
	switch {
	case !named && a.params["name"] != nil:
		return nil, model.Invalid("Role name must be a string.")
	case !named && description == nil:
		return nil, model.Invalid("At least one of 'name' or 'description' must be provided to update a role.")
	}
	if named {
		if err := checkRoleName(name); err != nil {
			return nil, err
		}
		if err := checkRoleName(r.Name); err != nil {
			return nil, err // the grants of one user find their role by its name
		}
		r.Name = name
	}
	if description != nil {
		r.Description = description
	}
	err = a.s.update(a.Context(), func(t *db.Tx) error {
		_, err := t.Exec("UPDATE access_roles SET name = ?, description = ? WHERE id = ?", r.Name, r.Description, r.ID)
		if errors.Is(err, db.ErrConflict) {
			return model.Exists("Role with name=%s already exists in workspace=%s", r.Name, r.Workspace)
		}
		return err
	})
	return object{"role": r}, err
}

func deleteRole(a *ask, r role) (any, error) {
	return object{}, a.s.update(a.Context(), func(t *db.Tx) error {
		_, err := t.Exec("DELETE FROM access_roles WHERE id = ?", r.ID)
		return err
	})
}

func addRoleGrant(a *ask, r role) (any, error) {
	g := roleGrant{Role: r.ID}
	var err error
	for name, field := range map[string]*string{"resource_type": &g.Kind, "resource_pattern": &g.Pattern, "permission": &g.Permission} {
		if *field, err = a.text(name); err != nil {
			return nil, err
		}
	}
	if err := checkGrant(g.Kind, g.Pattern, g.Permission); err != nil {
		return nil, err
	}
	err = a.s.update(a.Context(), func(t *db.Tx) (err error) {
		g.ID, err = insertGrant(t, g)
		return err
	})
	return object{"role_permission": g}, err
}

func removeRoleGrant(a *ask, g roleGrant) (any, error) {
	return object{}, a.s.update(a.Context(), func(t *db.Tx) error {
		_, err := t.Exec("DELETE FROM access_grants WHERE id = ?", g.ID)
		return err
	})
}

func updateRoleGrant(a *ask, g roleGrant) (any, error) {
	permission, err := a.text("permission")
	if err != nil {
		return nil, err
	}
	if err := checkGrant(g.Kind, g.Pattern, permission); err != nil {
		return nil, err
	}
	g.Permission = permission
	err = a.s.update(a.Context(), func(t *db.Tx) error {
		_, err := t.Exec("UPDATE access_grants SET permission = ? WHERE id = ?", permission, g.ID)
		return err
	})
	return object{"role_permission": g}, err
}

// membership is a role that a user has.
type membership struct {
	ID   int64 `json:"id"`
	User int64 `json:"user_id"`
	Role int64 `json:"role_id"`
}

func assignRole(a *ask, r role) (any, error) {
	u, err := a.target()
	if err != nil {
		return nil, err
	}
	if err := checkRoleName(r.Name); err != nil {
		return nil, err
	}
	m := membership{User: u.ID, Role: r.ID}
	err = a.s.update(a.Context(), func(t *db.Tx) error {
		err := t.Row("INSERT INTO access_members(member, role) VALUES(?, ?) ON CONFLICT DO NOTHING RETURNING id", u.ID, r.ID).Scan(&m.ID)
		if db.IsNoRows(err) {
			return model.Exists("User '%s' already has the role with id=%d.", u.Name, r.ID)
		}
		return err
	})
	return object{"assignment": m}, err
}

func unassignRole(a *ask, r role) (any, error) {
	u, err := a.target()
	if err != nil {
		return nil, err
	}
	return object{}, a.s.update(a.Context(), func(t *db.Tx) error {
		n, err := t.Exec("DELETE FROM access_members WHERE member = ? AND role = ?", u.ID, r.ID)
		if err == nil && n == 0 {
			err = model.Missing("User '%s' does not have the role with id=%d.", u.Name, r.ID)
		}
		return err
	})
}

func roleUsers(a *ask, r role) (any, error) {
	list := []membership{}
	err := a.view(func(t *db.Tx) error {
		return t.Each(func(rows db.Rows) error {
			m := membership{Role: r.ID}
			err := rows.Scan(&m.ID, &m.User)
			list = append(list, m)
			return err
		}, "SELECT id, member FROM access_members WHERE role = ? ORDER BY id", r.ID)
	})
	return object{"assignments": list}, err
}
