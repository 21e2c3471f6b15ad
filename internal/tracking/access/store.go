package access

import (
	"embed"
	"errors"
	"strconv"
	"strings"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

//go:embed migrations
var migrations embed.FS

// Migrations is the schema.
func Migrations() db.Migrations { return db.Migrations{Owner: "tracking-access", FS: migrations} }

// user as it is stored.
type user struct {
	ID    int64  `json:"id"`
	Name  string `json:"username"`
	Admin bool   `json:"is_admin"`

	password string
}

type role struct {
	ID          int64       `json:"id"`
	Name        string      `json:"name"`
	Workspace   string      `json:"workspace"`
	Description *string     `json:"description"`
	Permissions []roleGrant `json:"permissions"`
}

type roleGrant struct {
	ID         int64  `json:"id"`
	Role       int64  `json:"role_id"`
	Kind       string `json:"resource_type"`
	Pattern    string `json:"resource_pattern"`
	Permission string `json:"permission"`
}

// ownRole is the role that holds the grants of one user alone.
const ownRole = "__user_"

func ownRoleName(id int64) string { return ownRole + strconv.FormatInt(id, 10) + "__" }

const userColumns = "id, name, password, admin"

func scanUser(scan func(...any) error) (u user, err error) {
	var admin int64
	err = scan(&u.ID, &u.Name, &u.password, &admin)
	u.Admin = admin != 0
	return u, err
}

func findUser(t *db.Tx, name string) (user, error) {
	u, err := scanUser(t.Row("SELECT "+userColumns+" FROM access_users WHERE name = ?", name).Scan)
	if db.IsNoRows(err) {
		return u, model.Missing("User with username=%s not found", name)
	}
	return u, err
}

func insertUser(t *db.Tx, name, password string, admin bool) (user, error) {
	u := user{Name: name, Admin: admin}
	err := t.Row("INSERT INTO access_users(name, password, admin) VALUES(?, ?, ?) RETURNING id", name, password, number(admin)).Scan(&u.ID)
	if errors.Is(err, db.ErrConflict) {
		err = model.Exists("User (username=%s) already exists.", name)
	}
	return u, err
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func deleteUser(t *db.Tx, name string) error {
	u, err := findUser(t, name)
	if err != nil {
		return err
	}
	if _, err := t.Exec("DELETE FROM access_roles WHERE name = ?", ownRoleName(u.ID)); err != nil {
		return err
	}
	_, err = t.Exec("DELETE FROM access_users WHERE id = ?", u.ID)
	return err
}

// withAdmin makes a change after which there must be an administrator: nobody
// else could make another one.
func withAdmin(t *db.Tx, change func() error) error {
	// Two administrators may remove each other at the same moment, in two copies of the program.
	if err := t.Hold("SELECT id FROM access_users WHERE admin = 1 ORDER BY id"); err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	var left int64
	if err := t.Row("SELECT count(*) FROM access_users WHERE admin = 1").Scan(&left); err != nil || left > 0 {
		return err
	}
	return model.Invalid("This is the last administrator, and nobody could make another one. Make another user an administrator first (PATCH users/update-admin, is_admin true).")
}

func users(t *db.Tx) (list []user, err error) {
	err = t.Each(func(r db.Rows) error {
		u, err := scanUser(r.Scan)
		list = append(list, u)
		return err
	}, "SELECT "+userColumns+" FROM access_users ORDER BY id")
	return list, err
}

// grantsOf are all that the roles of a user give.
func grantsOf(t *db.Tx, id int64) (list []grant, err error) {
	err = t.Each(func(r db.Rows) error {
		var g grant
		err := r.Scan(&g.workspace, &g.kind, &g.pattern, &g.permission)
		list = append(list, g)
		return err
	}, `SELECT r.workspace, g.kind, g.pattern, g.permission FROM access_members m
		JOIN access_roles r ON r.id = m.role JOIN access_grants g ON g.role = r.id WHERE m.member = ?`, id)
	return list, err
}

func scanRole(scan func(...any) error) (r role, err error) {
	r.Permissions = []roleGrant{}
	err = scan(&r.ID, &r.Name, &r.Workspace, &r.Description)
	return r, err
}

const roleColumns = "r.id, r.name, r.workspace, r.description"

// roles that a condition selects, with their grants.
func roles(t *db.Tx, condition string, args ...any) (list []role, err error) {
	err = t.Each(func(rows db.Rows) error {
		r, err := scanRole(rows.Scan)
		list = append(list, r)
		return err
	}, "SELECT "+roleColumns+" FROM access_roles r "+condition+" ORDER BY r.id", args...)
	for i := range list {
		if err == nil {
			list[i].Permissions, err = roleGrants(t, list[i].ID)
		}
	}
	return list, err
}

func findRole(t *db.Tx, id int64) (role, error) {
	list, err := roles(t, "WHERE r.id = ?", id)
	if err == nil && len(list) == 0 {
		return role{}, model.Missing("Role with id=%d not found", id)
	}
	if err != nil {
		return role{}, err
	}
	return list[0], nil
}

func rolesOf(t *db.Tx, user int64) ([]role, error) {
	return roles(t, "JOIN access_members m ON m.role = r.id WHERE m.member = ?", user)
}

func roleGrants(t *db.Tx, id int64) (list []roleGrant, err error) {
	list = []roleGrant{}
	err = t.Each(func(r db.Rows) error {
		var g roleGrant
		err := r.Scan(&g.ID, &g.Role, &g.Kind, &g.Pattern, &g.Permission)
		list = append(list, g)
		return err
	}, "SELECT id, role, kind, pattern, permission FROM access_grants WHERE role = ? ORDER BY id", id)
	return list, err
}

func insertRole(t *db.Tx, name, workspace string, description *string) (int64, error) {
	var id int64
	err := t.Row("INSERT INTO access_roles(name, workspace, description) VALUES(?, ?, ?) RETURNING id", name, workspace, description).Scan(&id)
	if errors.Is(err, db.ErrConflict) {
		err = model.Exists("Role (name=%s, workspace=%s) already exists.", name, workspace)
	}
	return id, err
}

func checkRoleName(name string) error {
	if strings.TrimSpace(name) == "" {
		return model.Invalid("Role name cannot be empty.")
	}
	if strings.HasPrefix(name, ownRole) {
		return model.Invalid("Role name '%s' uses the reserved '__user_' prefix. Choose a different name.", name)
	}
	return nil
}

// ownRoleOf finds or makes the role of one user in a workspace.
func ownRoleOf(t *db.Tx, user int64, workspace string) (int64, error) {
	var id int64
	const find = "SELECT id FROM access_roles WHERE workspace = ? AND name = ?"
	err := t.Row(find, workspace, ownRoleName(user)).Scan(&id)
	if !db.IsNoRows(err) {
		return id, err
	}
	// Another copy of the program may make it at the same moment.
	if _, err := t.Exec("INSERT INTO access_roles(name, workspace) VALUES(?, ?) ON CONFLICT DO NOTHING", ownRoleName(user), workspace); err != nil {
		return 0, err
	}
	if err := t.Row(find, workspace, ownRoleName(user)).Scan(&id); err != nil {
		return 0, err
	}
	_, err = t.Exec("INSERT INTO access_members(member, role) VALUES(?, ?) ON CONFLICT DO NOTHING", user, id)
	return id, err
}

func insertGrant(t *db.Tx, g roleGrant) (int64, error) {
	var id int64
	err := t.Row("INSERT INTO access_grants(role, kind, pattern, permission) VALUES(?, ?, ?, ?) RETURNING id", g.Role, g.Kind, g.Pattern, g.Permission).Scan(&id)
	if errors.Is(err, db.ErrConflict) {
		err = model.Exists("Permission (role_id=%d, resource_type=%s, resource_pattern=%s) already exists.", g.Role, g.Kind, g.Pattern)
	}
	return id, err
}

// putGrant gives a user a permission, in place of one that was there.
func putGrant(t *db.Tx, user int64, workspace, kind, id, permission string) error {
	own, err := ownRoleOf(t, user, workspace)
	if err != nil {
		return err
	}
	_, err = t.Exec(`INSERT INTO access_grants(role, kind, pattern, permission) VALUES(?, ?, ?, ?)
		ON CONFLICT(role, kind, pattern) DO UPDATE SET permission = excluded.permission`, own, kind, id, permission)
	return err
}

// dropGrants removes what was granted on an object that is gone; a new one of
// the same name must not inherit it.
func dropGrants(t *db.Tx, workspace, kind, id string) error {
	_, err := t.Exec("DELETE FROM access_grants WHERE kind = ? AND pattern = ? AND role IN (SELECT id FROM access_roles WHERE workspace = ?)", kind, id, workspace)
	return err
}

func renameGrants(t *db.Tx, workspace, kind, from, to string) error {
	if err := dropGrants(t, workspace, kind, to); err != nil {
		return err
	}
	_, err := t.Exec("UPDATE access_grants SET pattern = ? WHERE kind = ? AND pattern = ? AND role IN (SELECT id FROM access_roles WHERE workspace = ?)", to, kind, from, workspace)
	return err
}
