package workspaces

import (
	"context"
	"net/http"

	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// What is done with the contents of a workspace that is deleted.
const (
	restrict   = "RESTRICT"    // there must be none
	setDefault = "SET_DEFAULT" // the default workspace gets them
	cascade    = "CASCADE"     // they are removed for good
)

// remove deletes a workspace.
func (s *Service) remove(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("workspace_name")
	if name == server.DefaultNamespace {
		return model.Invalid("The 'default' workspace is reserved and cannot be deleted")
	}
	if _, err := s.find(r.Context(), name); err != nil {
		return err
	}
	var err error
	switch mode := r.URL.Query().Get("mode"); mode {
	case "", restrict:
		err = s.removeEmpty(r.Context(), name)
	case setDefault:
		err = s.o.DB.Update(r.Context(), func(t *db.Tx) error { return s.move(t, name, server.DefaultNamespace) })
	case cascade:
		err = s.removeAll(r.Context(), name)
	default:
		err = model.Invalid("Invalid deletion mode '%s'. Must be one of: SET_DEFAULT, CASCADE, RESTRICT", mode)
	}
	if err != nil {
		return err
	}
	if s.o.Roles != nil {
		s.o.Roles.Settled()
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// move deletes a workspace after all that lies in it was given to another.
func (s *Service) move(t *db.Tx, name, to string) error {
	if err := lock(t, name); err != nil {
		return err
	}
	if s.o.Roles != nil {
		if err := s.o.Roles.Moved(t, name, to, s.o.Contents.Holds); err != nil {
			return err
		}
	}
	if err := s.o.Contents.Move(t, name, to); err != nil {
		return err
	}
	return s.drop(t, name)
}

// removeEmpty deletes a workspace in which nothing lies.
func (s *Service) removeEmpty(ctx context.Context, name string) error {
	return s.o.DB.Update(ctx, func(t *db.Tx) error {
		if err := lock(t, name); err != nil {
			return err
		}
		held, err := s.o.Contents.Held(t, name)
		if err != nil {
			return err
		}
		if held != "" {
			return server.Errorf(http.StatusBadRequest, codeHeld, "Cannot delete workspace '%s': it still contains %s. Remove them first, what is only marked as deleted with `kiwerk runs gc`, or delete it with mode SET_DEFAULT or CASCADE", name, held)
		}
		return s.drop(t, name)
	})
}

// codeHeld is the code of a workspace that is not empty.
const codeHeld = "INVALID_STATE"

// rounds bound how often a workspace is cleared into which others still write.
const rounds = 10

// removeAll deletes a workspace with all that lies in it. The workspace goes
// last: after a crash it is there, and the same call goes on.
func (s *Service) removeAll(ctx context.Context, name string) (err error) {
	for range rounds {
		if err := s.o.Contents.Clear(ctx, name); err != nil {
			return err
		}
		if err = s.removeEmpty(ctx, name); err == nil || server.AsError(err).Code != codeHeld {
			return err
		}
	}
	return err
}

// lock waits for those who write into a workspace; who comes later finds it gone.
func lock(t *db.Tx, name string) error {
	return t.Hold("SELECT name FROM workspaces WHERE name = ?", name)
}

func (s *Service) drop(t *db.Tx, name string) error {
	if s.o.Roles != nil {
		if err := s.o.Roles.Closed(t, name); err != nil {
			return err
		}
	}
	_, err := t.Exec("DELETE FROM workspaces WHERE name = ?", name)
	return err
}
