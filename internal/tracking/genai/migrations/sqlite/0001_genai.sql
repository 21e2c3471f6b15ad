-- Documents of MLflow's evaluation. Times are milliseconds since 1970.
-- exp is the experiment, 0 for what belongs to none or many (kind dataset).
CREATE TABLE genai_objects(
	id TEXT PRIMARY KEY,
	kind TEXT NOT NULL,
	namespace TEXT NOT NULL,
	exp BIGINT NOT NULL,
	key TEXT NOT NULL,
	created BIGINT NOT NULL,
	doc TEXT NOT NULL,
	UNIQUE(kind, namespace, exp, key)
);
CREATE INDEX genai_objects_list ON genai_objects(kind, namespace, exp, created);
-- A record of a dataset; hash is that of its inputs.
CREATE TABLE genai_records(
	id TEXT PRIMARY KEY,
	dataset TEXT NOT NULL REFERENCES genai_objects(id) ON DELETE CASCADE,
	hash TEXT NOT NULL,
	created BIGINT NOT NULL,
	doc TEXT NOT NULL,
	UNIQUE(dataset, hash)
);
CREATE INDEX genai_records_list ON genai_records(dataset, created, id);
CREATE TABLE genai_items(
	queue TEXT NOT NULL REFERENCES genai_objects(id) ON DELETE CASCADE,
	item TEXT NOT NULL,
	status TEXT NOT NULL,
	completed_by TEXT NOT NULL DEFAULT '',
	completed BIGINT NOT NULL DEFAULT 0,
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL,
	PRIMARY KEY(queue, item)
);
CREATE INDEX genai_items_item ON genai_items(item, queue);
