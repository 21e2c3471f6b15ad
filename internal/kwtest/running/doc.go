// Package running starts the built program as a platform of its own, as whoever
// calls or, called by root, as an ordinary user that it makes if needed.
//
// Programs and data lie in a folder that every account can enter, because an
// ordinary user can read neither the home of root nor that of a colleague.
package running
