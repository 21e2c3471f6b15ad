package webhooks

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
)

// errOtherKey: the database has secrets that this program's key does not open.
var errOtherKey = errors.New("the secrets of the webhooks in this database were sealed with another key")

// forgetVariable removes the secrets whose key is lost.
const forgetVariable = "KIWERK_WEBHOOK_FORGET_SECRETS"

// checkID stands in place of a webhook's id in the text that tests the key.
const checkID = "key"

// checkKey refuses to start with another key than that of the other copies.
func (s *Service) checkKey(ctx context.Context) error {
	if s.o.ForgetSecrets {
		return s.db.Update(ctx, forget)
	}
	stale := false
	err := s.db.View(ctx, func(t *db.Tx) (err error) {
		stale, err = s.keyed(t)
		return err
	})
	if err == nil && stale {
		err = s.db.Update(ctx, s.agree)
	}
	if errors.Is(err, errOtherKey) {
		return fmt.Errorf("%w (this one's: %s). Give this copy the key of the others: the same MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY, or their file webhooks.key."+
			" If that key is lost, start once with %s=true, which removes these secrets and switches their webhooks off", err, s.vault.origin(), forgetVariable)
	}
	return err
}

// keyed tells whether the key opens what is stored; stale that the check of the key is to be written:
// there is none beside secrets, or that of a key without secrets.
func (s *Service) keyed(t *db.Tx) (stale bool, err error) {
	id, text := checkID, ""
	err = t.Row("SELECT sealed FROM webhook_key WHERE id = 1").Scan(&text)
	if db.IsNoRows(err) {
		stale = true
		err = t.Row("SELECT id, secret FROM webhooks WHERE secret <> '' ORDER BY created DESC, id LIMIT 1").Scan(&id, &text)
	}
	if db.IsNoRows(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if _, openErr := s.vault.open(id, text); openErr == nil {
		return stale, nil
	}
	if !stale {
		var secrets int64
		if err := t.Row("SELECT count(*) FROM webhooks WHERE secret <> ''").Scan(&secrets); err != nil || secrets == 0 {
			return true, err // nothing is lost with that key
		}
	}
	return false, errOtherKey
}

// agree is called in the transaction that stores a secret: the first one
// decides on the key, and another copy with another key is refused.
func (s *Service) agree(t *db.Tx) error {
	// Whoever comes first writes; a copy that does the same meanwhile waits for its end and reads it.
	text, err := s.vault.seal(checkID, checkID)
	if err != nil {
		return err
	}
	if _, err := t.Exec("INSERT INTO webhook_key(id, sealed) VALUES(1, ?) ON CONFLICT(id) DO UPDATE SET sealed = webhook_key.sealed", text); err != nil {
		return err
	}
	stale, err := s.keyed(t)
	if errors.Is(err, errOtherKey) {
		e := server.Errorf(http.StatusInternalServerError, "INVALID_STATE", "The secret cannot be stored: this copy of the server has another key than the secrets that are there.")
		e.Remedy, e.Cause = "give every copy of the server the same MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", err
		return e
	}
	if err != nil || !stale {
		return err
	}
	_, err = t.Exec("UPDATE webhook_key SET sealed = ? WHERE id = 1", text)
	return err
}

// forget removes the secrets. A receiver that asked for signatures gets
// nothing without them: its webhook is switched off.
func forget(t *db.Tx) error {
	for _, query := range []string{
		"DELETE FROM webhook_deliveries WHERE webhook IN (SELECT id FROM webhooks WHERE secret <> '')",
		"UPDATE webhooks SET secret = '', active = 0 WHERE secret <> ''",
		"DELETE FROM webhook_key",
	} {
		if _, err := t.Exec(query); err != nil {
			return err
		}
	}
	return nil
}
