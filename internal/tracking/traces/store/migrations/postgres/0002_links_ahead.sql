-- Runs that traces were linked to before they came: clients send traces in the background.
CREATE TABLE trace_links_ahead(
	namespace TEXT COLLATE "C" NOT NULL,
	trace_id TEXT COLLATE "C" NOT NULL,
	run TEXT COLLATE "C" NOT NULL,
	created BIGINT NOT NULL,
	PRIMARY KEY(namespace, trace_id, run)
);
CREATE INDEX trace_links_ahead_created ON trace_links_ahead(created);
