// Package query is what the searches of tracking share in SQL: conditions made
// of a filter ([Text], [Number]), orders that no two rows share ([Order]) with
// the condition of what lies behind a page, and the tokens of pages.
//
// Texts of SQL are constants of the program; everything that a caller sent is
// an argument. The package knows no table.
package query
