package genai

import (
	"context"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// Owners keep who may manage a scorer in step with it, in the transaction of
// the change.
type Owners interface {
	Made(ctx context.Context, t *db.Tx, o model.Owned) error
	Gone(ctx context.Context, t *db.Tx, o model.Owned) error
	// Settled is called when it is on the disk.
	Settled()
}

func ownedScorer(o object[scorer]) model.Owned {
	return model.Owned{Namespace: o.Namespace, Kind: model.OwnedScorer, ID: model.ScorerID(number(o.Exp), o.Doc.Name)}
}

// owners calls f with the owners, if there are any.
func (s *Service) owners(f func(Owners) error) error {
	if s.o.Owners == nil {
		return nil
	}
	return f(s.o.Owners)
}

func (s *Service) settled(err error) {
	if err == nil && s.o.Owners != nil {
		s.o.Owners.Settled()
	}
}
