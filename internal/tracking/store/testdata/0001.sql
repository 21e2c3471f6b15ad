-- What a database of the first schema may hold; the test reads it after the migrations that followed.
INSERT INTO experiments(namespace, name, artifact_location, stage, created, updated) VALUES
	('default', 'first', 'mlflow-artifacts:/1', 0, 1000, 2000),
	('team-a', 'gone', 's3://bucket/gone', 1, 1000, 3000);
INSERT INTO experiment_tags(experiment, key, value) SELECT id, 'owner', 'Zoë' FROM experiments WHERE name = 'first';
INSERT INTO runs(uuid, exp, stage, start, "end", status, name, "user", uri, deleted_at)
	SELECT '0123456789abcdef0123456789abcdef', id, 0, 1700000000000, 1700000001000, 3, 'a run', 'anna', 'mlflow-artifacts:/1/r/artifacts', 0 FROM experiments WHERE name = 'first';
INSERT INTO runs(uuid, exp, stage, start, "end", status, name, "user", uri, deleted_at)
	SELECT 'fedcba9876543210fedcba9876543210', id, 1, 1700000000000, 0, 1, 'deleted', '', 'x', 1700000002000 FROM experiments WHERE name = 'first';
INSERT INTO run_keys(key) VALUES ('loss'), ('lr'), ('mlflow.runName');
INSERT INTO run_metrics(run, k, ts, step, value, nan)
	SELECT r.id, k.id, p.ts, p.step, p.value, p.nan FROM runs r, run_keys k,
		(SELECT 1 AS ts, 0 AS step, 0.5 AS value, 0 AS nan UNION ALL SELECT 2, 1, 0.25, 0 UNION ALL SELECT 3, 2, 0, 1) p
	WHERE r.name = 'a run' AND k.key = 'loss';
INSERT INTO run_latest(run, k, exp, start, value, nan, step, ts) SELECT r.id, k.id, r.exp, r.start, 0, 1, 2, 3 FROM runs r, run_keys k WHERE r.name = 'a run' AND k.key = 'loss';
INSERT INTO run_params(run, k, exp, start, v) SELECT r.id, k.id, r.exp, r.start, '0.01' FROM runs r, run_keys k WHERE r.name = 'a run' AND k.key = 'lr';
INSERT INTO run_tags(run, k, exp, start, v) SELECT r.id, k.id, r.exp, r.start, 'a run' FROM runs r, run_keys k WHERE r.name = 'a run' AND k.key = 'mlflow.runName';
INSERT INTO logged_models(uuid, exp, name, type, source_run, uri, status, created, updated)
	SELECT 'm-0001', id, 'net', 'onnx', '0123456789abcdef0123456789abcdef', 'mlflow-artifacts:/1/models/m-0001/artifacts', 2, 1000, 1000 FROM experiments WHERE name = 'first';
INSERT INTO registered_models(namespace, name, description, created, updated) VALUES ('default', 'net', 'what it does', 1000, 1000);
INSERT INTO model_versions(model, version, created, updated, "user", source, storage_location, run_id, run_link, model_id)
	SELECT id, 1, 1000, 1000, '', 'models:/m-0001', 'mlflow-artifacts:/1/models/m-0001/artifacts', '0123456789abcdef0123456789abcdef', '', 'm-0001' FROM registered_models;
INSERT INTO model_aliases(model, alias, version) SELECT id, 'champion', 1 FROM registered_models;
