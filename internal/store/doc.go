// Package store is the SQL database of the platform: what is many and mostly appended.
//
// A [Store] has one writer and many readers. [Store.Update] hands a function
// to the writer, which runs what is waiting as one transaction, each function
// in a savepoint of its own, and answers all of them after the commit is on
// the disk:
//
//	Update ─┐                 ┌ savepoint a ┐
//	Update ─┼─ queue ─ BEGIN ─┼ savepoint b ┼─ COMMIT + fsync ─ answer all
//	Update ─┘                 └ savepoint c ┘
//
// So many clients share one fsync, an error takes back only its own writes,
// and nothing is acknowledged before it is durable. [Store.View] runs a
// function over one unchanging snapshot and never waits for the writer.
//
// Each capability owns its tables and brings them as [Migrations]; the package
// knows none of them.
//
// The database is a SQLite file (sqlite.go, sqlitesession.go, sqlitereader.go) or a PostgreSQL
// server (postgres.go, pgsession.go, pgvalues.go). The writing and reading is
// the same for both; a session is one connection of either. Statements are
// written once, with ? (see [Tx]); migrations are written twice. On PostgreSQL
// several copies of the program may work on one database, so what one of them
// remembers of it must not change.
//
// [storetest.Exercise] is what both must pass.
package store
