-- What came with the revisions since 2.0.
UPDATE alembic_version SET version_num = 'dc11669786a5';
ALTER TABLE experiments ADD creation_time INTEGER DEFAULT 5;
ALTER TABLE experiments ADD last_update_time INTEGER DEFAULT 6;
ALTER TABLE experiments ADD workspace TEXT DEFAULT 'default';
ALTER TABLE registered_models ADD workspace TEXT DEFAULT 'default';
ALTER TABLE registered_model_tags ADD workspace TEXT DEFAULT 'default';
ALTER TABLE model_versions ADD workspace TEXT DEFAULT 'default';
ALTER TABLE model_versions ADD storage_location TEXT;
ALTER TABLE model_version_tags ADD workspace TEXT DEFAULT 'default';
CREATE TABLE registered_model_aliases(alias TEXT, version INTEGER, name TEXT, workspace TEXT DEFAULT 'default');
INSERT INTO registered_model_aliases(alias, version, name) VALUES('champion', 3, 'net'), ('dangling', 2, 'net');
INSERT INTO model_versions(name, version, creation_time, last_updated_time, current_stage, source) VALUES('net', 4, 18, 19, 'None', 'models:/m-1');
CREATE TABLE datasets(dataset_uuid TEXT, experiment_id INTEGER, name TEXT, digest TEXT, dataset_source_type TEXT, dataset_source TEXT, dataset_schema TEXT, dataset_profile TEXT);
CREATE TABLE inputs(input_uuid TEXT, source_type TEXT, source_id TEXT, destination_type TEXT, destination_id TEXT, step INTEGER DEFAULT 0);
CREATE TABLE input_tags(input_uuid TEXT, name TEXT, value TEXT);
INSERT INTO datasets VALUES('d1', 3, 'digits', 'abc', 'local', '{}', NULL, 'p');
INSERT INTO inputs VALUES('i1', 'DATASET', 'd1', 'RUN', 'a0000000000000000000000000000001', 0),
	('i2', 'RUN_INPUT', 'a0000000000000000000000000000001', 'MODEL_INPUT', 'm-1', 0),
	('i3', 'RUN_OUTPUT', 'a0000000000000000000000000000001', 'MODEL_OUTPUT', 'm-1', 7);
INSERT INTO input_tags VALUES('i1', 'mlflow.data.context', 'train');
CREATE TABLE logged_models(model_id TEXT, experiment_id INTEGER, name TEXT, artifact_location TEXT, creation_timestamp_ms INTEGER, last_updated_timestamp_ms INTEGER,
	status INTEGER, lifecycle_stage TEXT, model_type TEXT, source_run_id TEXT, status_message TEXT);
CREATE TABLE logged_model_params(model_id TEXT, experiment_id INTEGER, param_key TEXT, param_value TEXT);
CREATE TABLE logged_model_tags(model_id TEXT, experiment_id INTEGER, tag_key TEXT, tag_value TEXT);
CREATE TABLE logged_model_metrics(model_id TEXT, metric_name TEXT, metric_timestamp_ms INTEGER, metric_step INTEGER, metric_value DOUBLE PRECISION, experiment_id INTEGER,
	run_id TEXT, dataset_uuid TEXT, dataset_name TEXT, dataset_digest TEXT);
INSERT INTO logged_models VALUES('m-1', 3, 'net', 'mlflow-artifacts:/3/models/m-1/artifacts', 30, 31, 2, 'active', 'agent', 'a0000000000000000000000000000001', NULL);
INSERT INTO logged_model_params VALUES('m-1', 3, 'p', '1');
INSERT INTO logged_model_tags VALUES('m-1', 3, 't', '2');
INSERT INTO logged_model_metrics VALUES('m-1', 'score', 5, 1, 0.5, 3, 'a0000000000000000000000000000001', 'd1', 'digits', 'abc'),
	('m-1', 'score', 6, 2, NULL, 3, 'a0000000000000000000000000000001', NULL, NULL, NULL);
