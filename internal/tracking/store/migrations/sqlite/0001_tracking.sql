-- Experiments, runs and what is logged to them; logged models; the registry.
-- Times are milliseconds since 1970. Stages: 0 active, 1 deleted.

CREATE TABLE experiments(
	id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice: artifacts lie under it
	namespace TEXT NOT NULL,
	name TEXT NOT NULL,
	artifact_location TEXT NOT NULL,
	stage INTEGER NOT NULL DEFAULT 0,
	created INTEGER NOT NULL,
	updated INTEGER NOT NULL,
	UNIQUE(namespace, name)
);
CREATE TABLE experiment_tags(
	experiment INTEGER NOT NULL REFERENCES experiments(id),
	key TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY(experiment, key)
) WITHOUT ROWID;

CREATE TABLE runs(
	id INTEGER PRIMARY KEY,
	uuid TEXT NOT NULL UNIQUE,
	exp INTEGER NOT NULL REFERENCES experiments(id),
	stage INTEGER NOT NULL DEFAULT 0,
	start INTEGER NOT NULL,
	"end" INTEGER NOT NULL DEFAULT 0,
	status INTEGER NOT NULL,
	name TEXT NOT NULL,
	user TEXT NOT NULL,
	uri TEXT NOT NULL,
	deleted_at INTEGER NOT NULL DEFAULT 0
);
-- The default order of a search is a walk along this index.
CREATE INDEX runs_list ON runs(exp, stage, start DESC, uuid);

-- Names of metrics, params and tags, once each: a point costs 30 bytes instead of 280.
CREATE TABLE run_keys(id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE);

-- All six columns are the identity of a point: a repeated request adds nothing.
-- The order is that of a metric's history. NaN is value 0 with nan 1.
CREATE TABLE run_metrics(
	run INTEGER NOT NULL, k INTEGER NOT NULL, ts INTEGER NOT NULL, step INTEGER NOT NULL, value REAL NOT NULL, nan INTEGER NOT NULL,
	PRIMARY KEY(run, k, ts, step, value, nan)
) WITHOUT ROWID;
-- The newest point of each metric (highest step, then time, then value). Start
-- is that of the run and never changes: the indexes of values are in the order of searches.
CREATE TABLE run_latest(
	run INTEGER NOT NULL, k INTEGER NOT NULL, exp INTEGER NOT NULL, start INTEGER NOT NULL, value REAL NOT NULL, nan INTEGER NOT NULL, step INTEGER NOT NULL, ts INTEGER NOT NULL,
	PRIMARY KEY(run, k)
) WITHOUT ROWID;
CREATE INDEX run_latest_value ON run_latest(exp, k, nan, value, start, run);

-- Values reach 6,000 and 8,000 characters; the index holds their beginning.
CREATE TABLE run_params(
	run INTEGER NOT NULL, k INTEGER NOT NULL, exp INTEGER NOT NULL, start INTEGER NOT NULL, v TEXT NOT NULL,
	PRIMARY KEY(run, k)
) WITHOUT ROWID;
CREATE INDEX run_params_value ON run_params(exp, k, substr(v, 1, 100), start DESC, run);
CREATE TABLE run_tags(
	run INTEGER NOT NULL, k INTEGER NOT NULL, exp INTEGER NOT NULL, start INTEGER NOT NULL, v TEXT NOT NULL,
	PRIMARY KEY(run, k)
) WITHOUT ROWID;
CREATE INDEX run_tags_value ON run_tags(exp, k, substr(v, 1, 100), start DESC, run);

CREATE TABLE run_datasets(
	id INTEGER PRIMARY KEY,
	exp INTEGER NOT NULL REFERENCES experiments(id),
	name TEXT NOT NULL, digest TEXT NOT NULL, source_type TEXT NOT NULL, source TEXT NOT NULL,
	schema TEXT NOT NULL, profile TEXT NOT NULL,
	UNIQUE(exp, name, digest)
);
CREATE TABLE run_inputs(
	run INTEGER NOT NULL REFERENCES runs(id), dataset INTEGER NOT NULL REFERENCES run_datasets(id),
	PRIMARY KEY(run, dataset)
) WITHOUT ROWID;
CREATE INDEX run_inputs_dataset ON run_inputs(dataset);
CREATE TABLE run_input_tags(
	run INTEGER NOT NULL, dataset INTEGER NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
	PRIMARY KEY(run, dataset, key)
) WITHOUT ROWID;
-- Logged models that a run read (direction 0) or made (1).
CREATE TABLE run_models(
	run INTEGER NOT NULL REFERENCES runs(id), direction INTEGER NOT NULL, model TEXT NOT NULL, step INTEGER NOT NULL,
	PRIMARY KEY(run, direction, model, step)
) WITHOUT ROWID;

CREATE TABLE logged_models(
	id INTEGER PRIMARY KEY,
	uuid TEXT NOT NULL UNIQUE,
	exp INTEGER NOT NULL REFERENCES experiments(id),
	name TEXT NOT NULL, type TEXT NOT NULL, source_run TEXT NOT NULL, uri TEXT NOT NULL,
	status INTEGER NOT NULL, status_message TEXT NOT NULL DEFAULT '',
	created INTEGER NOT NULL, updated INTEGER NOT NULL,
	stage INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX logged_models_list ON logged_models(exp, stage, created DESC, uuid);
CREATE TABLE logged_model_params(
	model INTEGER NOT NULL REFERENCES logged_models(id), key TEXT NOT NULL, value TEXT NOT NULL,
	PRIMARY KEY(model, key)
) WITHOUT ROWID;
CREATE TABLE logged_model_tags(
	model INTEGER NOT NULL REFERENCES logged_models(id), key TEXT NOT NULL, value TEXT NOT NULL,
	PRIMARY KEY(model, key)
) WITHOUT ROWID;
CREATE TABLE logged_model_metrics(
	model INTEGER NOT NULL REFERENCES logged_models(id), key TEXT NOT NULL, dataset TEXT NOT NULL, digest TEXT NOT NULL,
	run TEXT NOT NULL, ts INTEGER NOT NULL, step INTEGER NOT NULL, value REAL NOT NULL, nan INTEGER NOT NULL,
	PRIMARY KEY(model, key, dataset, digest, run, ts, step, value, nan)
) WITHOUT ROWID;

CREATE TABLE registered_models(
	id INTEGER PRIMARY KEY,
	namespace TEXT NOT NULL, name TEXT NOT NULL, description TEXT NOT NULL,
	created INTEGER NOT NULL, updated INTEGER NOT NULL,
	UNIQUE(namespace, name)
);
CREATE TABLE registered_model_tags(
	model INTEGER NOT NULL REFERENCES registered_models(id) ON DELETE CASCADE, key TEXT NOT NULL, value TEXT NOT NULL,
	PRIMARY KEY(model, key)
) WITHOUT ROWID;
-- A deleted version keeps its row, so that its number is not given again.
CREATE TABLE model_versions(
	id INTEGER PRIMARY KEY,
	model INTEGER NOT NULL REFERENCES registered_models(id) ON DELETE CASCADE,
	version INTEGER NOT NULL,
	created INTEGER NOT NULL, updated INTEGER NOT NULL,
	user TEXT NOT NULL, stage TEXT NOT NULL DEFAULT 'None', description TEXT,
	source TEXT NOT NULL, storage_location TEXT NOT NULL,
	run_id TEXT NOT NULL, run_link TEXT NOT NULL, model_id TEXT NOT NULL,
	deleted INTEGER NOT NULL DEFAULT 0,
	UNIQUE(model, version)
);
CREATE INDEX model_versions_run ON model_versions(run_id);
CREATE TABLE model_version_tags(
	version INTEGER NOT NULL REFERENCES model_versions(id) ON DELETE CASCADE, key TEXT NOT NULL, value TEXT NOT NULL,
	PRIMARY KEY(version, key)
) WITHOUT ROWID;
CREATE TABLE model_aliases(
	model INTEGER NOT NULL REFERENCES registered_models(id) ON DELETE CASCADE, alias TEXT NOT NULL, version INTEGER NOT NULL,
	PRIMARY KEY(model, alias),
	FOREIGN KEY(model, version) REFERENCES model_versions(model, version) ON DELETE CASCADE
) WITHOUT ROWID;
