-- Runs that traces were linked to before they came: clients send traces in the background.
CREATE TABLE trace_links_ahead(
	namespace TEXT NOT NULL,
	trace_id TEXT NOT NULL,
	run TEXT NOT NULL,
	created INTEGER NOT NULL,
	PRIMARY KEY(namespace, trace_id, run)
) WITHOUT ROWID;
CREATE INDEX trace_links_ahead_created ON trace_links_ahead(created);
