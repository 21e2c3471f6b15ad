package access

import (
	"context"

	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// Made lets the maker of an object manage it. It is a part of the transaction
// that makes the object, as are Renamed and Gone.
func (*Service) Made(ctx context.Context, t *db.Tx, o model.Owned) error {
	u, err := findUser(t, server.UserOf(ctx).Name)
	if model.IsMissing(err) {
		return nil // the program itself
	}
	if err != nil {
		return err
	}
	return putGrant(t, u.ID, o.Namespace, o.Kind, o.ID, Manage)
}

// Renamed lets a registered model or prompt keep what was granted on it.
func (*Service) Renamed(_ context.Context, t *db.Tx, o model.Owned, to string) error {
	return each(o, func(kind string) error { return renameGrants(t, o.Namespace, kind, o.ID, to) })
}

// Gone removes what was granted on an object; a new one of its name must not inherit it.
func (*Service) Gone(_ context.Context, t *db.Tx, o model.Owned) error {
	return each(o, func(kind string) error { return dropGrants(t, o.Namespace, kind, o.ID) })
}

// Moved takes along what single users may do with single objects when those
// move to another workspace. Grants on names that are not among them stay: there
// the other workspace may have an object of that name.
func (*Service) Moved(t *db.Tx, from, to string, holds func(*db.Tx, model.Owned) (bool, error)) error {
	type own struct {
		user  int64
		name  string
		grant roleGrant
	}
	var list []own
	err := t.Each(func(r db.Rows) error {
		var o own
		err := r.Scan(&o.user, &o.name, &o.grant.Kind, &o.grant.Pattern, &o.grant.Permission)
		if o.name == ownRoleName(o.user) {
			list = append(list, o)
		}
		return err
	}, `SELECT m.member, r.name, g.kind, g.pattern, g.permission FROM access_roles r
		JOIN access_members m ON m.role = r.id JOIN access_grants g ON g.role = r.id WHERE r.workspace = ?`, from)
	if err != nil {
		return err
	}
	for _, o := range list {
		moves, err := holds(t, model.Owned{Namespace: from, Kind: o.grant.Kind, ID: o.grant.Pattern})
		if err != nil {
			return err
		}
		if !moves {
			continue
		}
		if err := putGrant(t, o.user, to, o.grant.Kind, o.grant.Pattern, o.grant.Permission); err != nil {
			return err
		}
	}
	return nil
}

// Closed removes the roles of a workspace that is deleted, in the transaction that does so.
func (*Service) Closed(t *db.Tx, workspace string) error {
	_, err := t.Exec("DELETE FROM access_roles WHERE workspace = ?", workspace)
	return err
}

// Settled forgets what is known of users: their grants may have changed.
func (s *Service) Settled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.known)
	s.changes++
}

// each calls f for the kinds under which an object may have grants: a tag
// makes a registered model a prompt.
func each(o model.Owned, f func(kind string) error) error {
	switch o.Kind {
	case model.OwnedExperiment:
		return f(kindExperiment)
	case model.OwnedMCPServer:
		return f(kindMCP)
	case model.OwnedScorer:
		return f(kindScorer)
	}
	for _, kind := range []string{kindRegistered, kindPrompt} {
		if err := f(kind); err != nil {
			return err
		}
	}
	return nil
}
