-- Documents of MLflow's evaluation. Times are milliseconds since 1970.
-- exp is the experiment, 0 for what belongs to none or many (kind dataset).
CREATE TABLE genai_objects(
	id TEXT COLLATE "C" PRIMARY KEY,
	kind TEXT COLLATE "C" NOT NULL,
	namespace TEXT COLLATE "C" NOT NULL,
	exp BIGINT NOT NULL,
	key TEXT COLLATE "C" NOT NULL,
	created BIGINT NOT NULL,
	doc TEXT NOT NULL,
	UNIQUE(kind, namespace, exp, key)
);
CREATE INDEX genai_objects_list ON genai_objects(kind, namespace, exp, created);
-- A record of a dataset; hash is that of its inputs.
CREATE TABLE genai_records(
	id TEXT COLLATE "C" PRIMARY KEY,
	dataset TEXT COLLATE "C" NOT NULL REFERENCES genai_objects(id) ON DELETE CASCADE,
	hash TEXT COLLATE "C" NOT NULL,
	created BIGINT NOT NULL,
	doc TEXT NOT NULL,
	UNIQUE(dataset, hash)
);
CREATE INDEX genai_records_list ON genai_records(dataset, created, id);
CREATE TABLE genai_items(
	queue TEXT COLLATE "C" NOT NULL REFERENCES genai_objects(id) ON DELETE CASCADE,
	item TEXT COLLATE "C" NOT NULL,
	status TEXT COLLATE "C" NOT NULL,
	completed_by TEXT COLLATE "C" NOT NULL DEFAULT '',
	completed BIGINT NOT NULL DEFAULT 0,
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL,
	PRIMARY KEY(queue, item)
);
CREATE INDEX genai_items_item ON genai_items(item, queue);
