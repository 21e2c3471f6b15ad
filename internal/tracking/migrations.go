package tracking

import (
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/digests"
	"github.com/kiwerk/kiwerk/internal/tracking/genai"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
	traces "github.com/kiwerk/kiwerk/internal/tracking/traces/store"
	"github.com/kiwerk/kiwerk/internal/tracking/webhooks"
)

// Migrations are the schemas of all parts, in the order in which [New] applies
// them. Who opens the database with them applies all at once.
func Migrations() []db.Migrations {
	return []db.Migrations{webhooks.Migrations(), store.Migrations(), digests.Migrations(), traces.Migrations(), genai.Migrations()}
}
