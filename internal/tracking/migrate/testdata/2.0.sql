-- What of MLflow's tables is read, as they stood at 2.0: no aliases, data sets, logged models or workspaces yet.
CREATE TABLE alembic_version(version_num TEXT);
INSERT INTO alembic_version VALUES('0c779009ac13');
CREATE TABLE experiments(experiment_id INTEGER PRIMARY KEY, name TEXT, artifact_location TEXT, lifecycle_stage TEXT);
CREATE TABLE experiment_tags(key TEXT, value TEXT, experiment_id INTEGER);
CREATE TABLE runs(run_uuid TEXT PRIMARY KEY, name TEXT, source_type TEXT, source_name TEXT, entry_point_name TEXT, user_id TEXT, status TEXT,
	start_time INTEGER, end_time INTEGER, source_version TEXT, lifecycle_stage TEXT, artifact_uri TEXT, experiment_id INTEGER, deleted_time INTEGER);
CREATE TABLE params(key TEXT, value TEXT, run_uuid TEXT);
CREATE TABLE tags(key TEXT, value TEXT, run_uuid TEXT);
CREATE TABLE metrics(key TEXT, value DOUBLE PRECISION, timestamp INTEGER, run_uuid TEXT, step INTEGER, is_nan BOOLEAN);
CREATE INDEX metrics_run ON metrics(run_uuid);
CREATE TABLE registered_models(name TEXT PRIMARY KEY, creation_time INTEGER, last_updated_time INTEGER, description TEXT);
CREATE TABLE registered_model_tags(key TEXT, value TEXT, name TEXT);
CREATE TABLE model_versions(name TEXT, version INTEGER, creation_time INTEGER, last_updated_time INTEGER, description TEXT, user_id TEXT, current_stage TEXT,
	source TEXT, run_id TEXT, status TEXT, status_message TEXT, run_link TEXT);
CREATE TABLE model_version_tags(key TEXT, value TEXT, name TEXT, version INTEGER);

INSERT INTO experiments VALUES(0, 'Default', 'mlflow-artifacts:/0', 'active'), (3, 'vision', 'mlflow-artifacts:/3', 'active'), (4, 'gone', 'mlflow-artifacts:/4', 'deleted');
INSERT INTO experiment_tags VALUES('team', 'a', 3), ('empty', NULL, 3);
INSERT INTO runs VALUES
	('a0000000000000000000000000000001', 'one', 'LOCAL', '', '', 'kim', 'FINISHED', 100, 200, '', 'active', 'mlflow-artifacts:/3/a0000000000000000000000000000001/artifacts', 3, NULL),
	('a0000000000000000000000000000002', '', 'LOCAL', '', '', 'kim', 'RUNNING', 110, NULL, '', 'active', 's3://bucket/3/2', 3, NULL),
	('a0000000000000000000000000000003', 'old', 'LOCAL', '', '', NULL, 'FAILED', 120, 121, '', 'deleted', '', 4, 777);
INSERT INTO params VALUES('lr', '0.1', 'a0000000000000000000000000000001'), ('depth', '3', 'a0000000000000000000000000000001');
INSERT INTO tags VALUES('mlflow.runName', 'one', 'a0000000000000000000000000000001'), ('mlflow.runName', 'two', 'a0000000000000000000000000000002'), ('note', NULL, 'a0000000000000000000000000000002');
INSERT INTO metrics VALUES
	('loss', 0.5, 1, 'a0000000000000000000000000000001', 0, FALSE), ('loss', 0.25, 2, 'a0000000000000000000000000000001', 1, FALSE),
	('loss', 0, 3, 'a0000000000000000000000000000001', 2, TRUE), ('val/acc', 1e308, 1, 'a0000000000000000000000000000001', -5, FALSE),
	('loss', 9, 1, 'a0000000000000000000000000000003', 0, FALSE);
INSERT INTO registered_models VALUES('net', 10, 20, 'what'), ('empty', 11, 11, NULL);
INSERT INTO registered_model_tags VALUES('k', 'v', 'net');
INSERT INTO model_versions VALUES
	('net', 1, 12, 13, 'first', 'kim', 'Production', 'mlflow-artifacts:/3/a0000000000000000000000000000001/artifacts/model', 'a0000000000000000000000000000001', 'READY', NULL, NULL),
	('net', 2, 14, 15, NULL, NULL, 'Deleted_Internal', 'REDACTED', NULL, 'READY', NULL, NULL),
	('net', 3, 16, 17, NULL, 'kim', 'None', 's3://bucket/x', NULL, 'READY', NULL, 'https://ci/1');
INSERT INTO model_version_tags VALUES('i', '1', 'net', 1);
