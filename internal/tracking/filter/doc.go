// Package filter reads the filter and order_by language of MLflow's searches:
//
//	filter     = comparison { AND comparison }
//	comparison = identifier operator value
//	           | identifier [NOT] IN ( 'a', 'b' )
//	           | identifier IS [NOT] NULL
//	identifier = [ entity "." ] name         which may be "quoted" or `quoted`
//	order_by   = identifier [ ASC | DESC ]
//
// A [Language] states the entities, attributes and operators of one search;
// the parser is the same for all. There is no OR, NOT or grouping, because
// upstream has none. The package knows no SQL.
package filter
