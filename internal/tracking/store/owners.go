package store

import (
	"context"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// Owners keep who may manage an object in step with it. What they write is a
// part of the transaction of the change, which may run twice: no crash leaves
// an object that nobody may manage, or a permission on one that does not exist.
type Owners interface {
	Made(ctx context.Context, t *db.Tx, o model.Owned) error
	Renamed(ctx context.Context, t *db.Tx, o model.Owned, to string) error
	Gone(ctx context.Context, t *db.Tx, o model.Owned) error
	// Settled is called when changes are on the disk.
	Settled()
}

// owners calls f with the owners, if there are any.
func (t *tx) owners(f func(Owners) error) error {
	if t.s.o.Owners == nil {
		return nil
	}
	t.settles = true
	return f(t.s.o.Owners)
}

// ownedModel is a registered model, which may be a prompt.
func ownedModel(m model.RegisteredModel) model.Owned {
	kind := model.OwnedModel
	if model.IsPrompt(m.Tags) {
		kind = model.OwnedPrompt
	}
	return model.Owned{Namespace: m.Namespace, Kind: kind, ID: m.Name}
}
