-- Traces, their spans, and what people and judges say about them. Times are
-- milliseconds since 1970, those of spans nanoseconds.

CREATE TABLE traces(
	id INTEGER PRIMARY KEY,
	namespace TEXT NOT NULL,
	trace_id TEXT NOT NULL,
	exp INTEGER NOT NULL,
	ts INTEGER NOT NULL,
	duration INTEGER, -- not known before the end
	state TEXT NOT NULL,
	client_request_id TEXT,
	request_preview TEXT,
	response_preview TEXT,
	name TEXT,
	session TEXT,
	input_tokens INTEGER,
	output_tokens INTEGER,
	total_tokens INTEGER,
	cache_read_input_tokens INTEGER,
	cache_creation_input_tokens INTEGER,
	input_cost REAL,
	output_cost REAL,
	total_cost REAL,
	-- 1: the client has told time, usage and cost of the whole; spans that come later do not change them
	finalized INTEGER NOT NULL DEFAULT 0,
	UNIQUE(namespace, trace_id)
);
-- The default order of a search is a walk along this index.
CREATE INDEX traces_list ON traces(namespace, exp, ts DESC, trace_id);
CREATE INDEX traces_session ON traces(exp, session) WHERE session IS NOT NULL;

CREATE TABLE trace_tags(
	trace INTEGER NOT NULL REFERENCES traces(id),
	key TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY(trace, key)
) WITHOUT ROWID;
CREATE INDEX trace_tags_value ON trace_tags(key, substr(value, 1, 100), trace);

CREATE TABLE trace_metadata(
	trace INTEGER NOT NULL REFERENCES traces(id),
	key TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY(trace, key)
) WITHOUT ROWID;
CREATE INDEX trace_metadata_value ON trace_metadata(key, substr(value, 1, 100), trace);

-- Content comes last: what is searched for lies before it and is read without it.
CREATE TABLE trace_spans(
	trace INTEGER NOT NULL REFERENCES traces(id),
	span_id TEXT NOT NULL,
	parent TEXT,
	name TEXT NOT NULL,
	type TEXT NOT NULL,
	status TEXT NOT NULL,
	start INTEGER NOT NULL,
	finish INTEGER,
	model TEXT,
	provider TEXT,
	usage TEXT,
	cost TEXT,
	input_cost REAL,
	output_cost REAL,
	total_cost REAL,
	content TEXT NOT NULL,
	PRIMARY KEY(trace, span_id)
);

CREATE TABLE trace_assessments(
	trace INTEGER NOT NULL REFERENCES traces(id),
	id TEXT NOT NULL,
	name TEXT NOT NULL,
	kind TEXT NOT NULL, -- feedback, expectation, issue
	value TEXT NOT NULL, -- JSON
	number REAL, -- what it counts as in averages
	is_number INTEGER NOT NULL, -- 1: the value itself is a number
	error TEXT, -- JSON
	created INTEGER NOT NULL,
	updated INTEGER NOT NULL,
	source_type TEXT NOT NULL,
	source_id TEXT NOT NULL,
	span_id TEXT,
	rationale TEXT,
	overrides TEXT,
	valid INTEGER NOT NULL,
	metadata TEXT, -- JSON
	whole_session INTEGER NOT NULL, -- 1: it is about all traces of the session
	PRIMARY KEY(trace, id)
) WITHOUT ROWID;
CREATE INDEX trace_assessments_name ON trace_assessments(kind, name, trace);

-- Runs and versions of prompts that traces belong to.
CREATE TABLE trace_links(
	trace INTEGER NOT NULL REFERENCES traces(id),
	kind TEXT NOT NULL, -- run, prompt
	target TEXT NOT NULL,
	PRIMARY KEY(trace, kind, target)
) WITHOUT ROWID;
CREATE INDEX trace_links_target ON trace_links(kind, target, trace);
