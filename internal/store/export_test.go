package store

import "time"

// PGLife is what tells one life of a PostgreSQL from another.
const PGLife = pgLife

// SettleWithin shortens how long a store on PostgreSQL asks what has become of a commit.
func SettleWithin(s *Store, d time.Duration) {
	if db, ok := s.backend.(*postgres); ok {
		db.settleWithin = d
	}
}
