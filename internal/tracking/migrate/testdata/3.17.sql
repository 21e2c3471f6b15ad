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
CREATE TABLE trace_info(request_id TEXT, experiment_id INTEGER, timestamp_ms BIGINT, execution_time_ms BIGINT, status TEXT, client_request_id TEXT, request_preview TEXT,
	response_preview TEXT, db_payload_generation INTEGER DEFAULT 0, trace_name TEXT, session_id TEXT, input_tokens BIGINT, output_tokens BIGINT, total_tokens BIGINT,
	cache_read_input_tokens BIGINT, cache_creation_input_tokens BIGINT, input_cost DOUBLE PRECISION, output_cost DOUBLE PRECISION, total_cost DOUBLE PRECISION);
CREATE TABLE trace_tags(key TEXT, value TEXT, request_id TEXT);
CREATE TABLE trace_request_metadata(key TEXT, value TEXT, request_id TEXT);
CREATE TABLE spans(trace_id TEXT, experiment_id INTEGER, span_id TEXT, parent_span_id TEXT, name TEXT, type TEXT, status TEXT, start_time_unix_nano BIGINT,
	end_time_unix_nano BIGINT, content TEXT);
CREATE TABLE assessments(assessment_id TEXT, trace_id TEXT, name TEXT, assessment_type TEXT, value TEXT, error TEXT, created_timestamp BIGINT, last_updated_timestamp BIGINT,
	source_type TEXT, source_id TEXT, run_id TEXT, span_id TEXT, rationale TEXT, overrides TEXT, valid BOOLEAN, assessment_metadata TEXT);
CREATE TABLE entity_associations(association_id TEXT, source_type TEXT, source_id TEXT, destination_type TEXT, destination_id TEXT, created_time BIGINT);
INSERT INTO trace_info VALUES
	('tr-00000000000000000000000000000001', 3, 100, 40, 'OK', 'c1', '{"q": 1}', '"a"', 0, 'answer', 's1', 3, 4, 7, NULL, NULL, 0.5, 0.25, 0.75),
	('tr-00000000000000000000000000000002', 3, 200, NULL, 'IN_PROGRESS', NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	('old3', 4, 300, 1, 'TRACE_STATUS_UNSPECIFIED', NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO trace_tags VALUES('mlflow.artifactLocation', 'mlflow-artifacts:/3/traces/tr-00000000000000000000000000000001/artifacts', 'tr-00000000000000000000000000000001'),
	('mlflow.trace.spansLocation', 'TRACKING_STORE', 'tr-00000000000000000000000000000001'), ('mlflow.traceName', 'stale', 'tr-00000000000000000000000000000001'),
	('empty', NULL, 'old3'), ('mlflow.traceName', 'old', 'old3');
INSERT INTO trace_request_metadata VALUES('mlflow.trace.user', 'kim', 'tr-00000000000000000000000000000001'), ('mlflow.sourceRun', 'a0000000000000000000000000000001', 'old3'),
	('mlflow.trace.tokenUsage', '{"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}', 'old3'), ('mlflow.trace.session', 's0', 'old3');
INSERT INTO spans VALUES
	('tr-00000000000000000000000000000001', 3, '0000000000000001', NULL, 'ask', 'LLM', 'OK', 100000000, 140000000,
		'{"trace_id": "AAAAAAAAAAAAAAAAAAAAAQ==", "span_id": "AAAAAAAAAAE=", "parent_span_id": null, "name": "ask", "start_time_unix_nano": 100000000, "end_time_unix_nano": 140000000, "events": [], "status": {"code": "STATUS_CODE_OK", "message": ""}, "attributes": {"mlflow.traceRequestId": "\"tr-00000000000000000000000000000001\"", "mlflow.spanType": "\"LLM\"", "mlflow.llm.model": "\"gpt\"", "mlflow.chat.tokenUsage": "{\"input_tokens\": 3, \"output_tokens\": 4, \"total_tokens\": 7}"}, "links": []}'),
	('tr-00000000000000000000000000000001', 3, '0000000000000002', '0000000000000001', 'tool', NULL, 'ERROR', 110000000, NULL,
		'{"trace_id": "AAAAAAAAAAAAAAAAAAAAAQ==", "span_id": "AAAAAAAAAAI=", "parent_span_id": "AAAAAAAAAAE=", "name": "tool", "start_time_unix_nano": 110000000, "end_time_unix_nano": null, "events": [], "status": {"code": "STATUS_CODE_ERROR", "message": "no"}, "attributes": {"mlflow.traceRequestId": "\"tr-00000000000000000000000000000001\""}, "links": []}'),
	('old3', 4, '0000000000000003', NULL, 'archived', NULL, 'OK', 1, 2, '');
INSERT INTO assessments VALUES
	('a-1', 'tr-00000000000000000000000000000001', 'correct', 'feedback', 'true', NULL, 101, 102, 'HUMAN', 'kim', NULL, NULL, 'because', NULL, false, NULL),
	('a-2', 'tr-00000000000000000000000000000001', 'correct', 'feedback', '0.5', NULL, 103, 104, 'LLM_JUDGE', NULL, NULL, '0000000000000001', NULL, 'a-1', true, '{"k": "v", "n": 1}'),
	('a-3', 'old3', 'text', 'expectation', '"hello"', NULL, 105, 105, 'HUMAN', 'kim', NULL, NULL, NULL, NULL, true, NULL);
INSERT INTO entity_associations VALUES('e1', 'trace', 'tr-00000000000000000000000000000002', 'run', 'a0000000000000000000000000000001', 1),
	('e2', 'trace', 'tr-00000000000000000000000000000002', 'prompt_version', 'greet/1', 1), ('e3', 'evaluation_dataset', 'tr-00000000000000000000000000000002', 'experiment', '3', 1);
CREATE TABLE evaluation_datasets(dataset_id TEXT, name TEXT, schema TEXT, profile TEXT, digest TEXT, created_time BIGINT, last_update_time BIGINT, created_by TEXT, last_updated_by TEXT,
	workspace TEXT DEFAULT 'default');
CREATE TABLE evaluation_dataset_tags(dataset_id TEXT, key TEXT, value TEXT);
CREATE TABLE evaluation_dataset_records(dataset_record_id TEXT, dataset_id TEXT, inputs JSON, expectations JSON, tags JSON, source JSON, source_id TEXT, source_type TEXT, created_time BIGINT,
	last_update_time BIGINT, created_by TEXT, last_updated_by TEXT, input_hash TEXT, outputs JSON);
CREATE TABLE scorers(experiment_id INTEGER, scorer_name TEXT, scorer_id TEXT);
CREATE TABLE scorer_versions(scorer_id TEXT, scorer_version INTEGER, serialized_scorer TEXT, creation_time BIGINT);
CREATE TABLE online_scoring_configs(online_scoring_config_id TEXT, scorer_id TEXT, sample_rate DOUBLE PRECISION, experiment_id INTEGER, filter_string TEXT);
CREATE TABLE issues(issue_id TEXT, experiment_id INTEGER, name TEXT, description TEXT, status TEXT, severity TEXT, root_causes TEXT, source_run_id TEXT, categories TEXT,
	created_timestamp BIGINT, last_updated_timestamp BIGINT, created_by TEXT);
INSERT INTO evaluation_datasets VALUES('d-1', 'qa', '{"inputs": {"q": "string"}, "version": "1.0"}', '{"num_records": 2}', 'abcd', 1, 2, 'kim', NULL, 'default'),
	('d-2', 'empty', NULL, NULL, 'efgh', 3, 3, NULL, NULL, 'default');
INSERT INTO evaluation_dataset_tags VALUES('d-1', 'team', 'vision');
INSERT INTO evaluation_dataset_records VALUES
	('dr-1', 'd-1', '{"q": "why?", "n": 1}', '{"a": "so"}', '{"k": "v"}', '{"source_type": "TRACE", "source_data": {"trace_id": "tr-1"}}', 'tr-1', 'TRACE', 1, 2, 'kim', 'kim', 'h1', '{"mlflow_wrapped": ["x", 2]}'),
	('dr-2', 'd-1', '{"q": "who?"}', NULL, NULL, NULL, NULL, NULL, 1, 1, NULL, NULL, 'h2', NULL);
INSERT INTO scorers VALUES(3, 'polite', 's-1'), (3, 'code', 's-2');
INSERT INTO scorer_versions VALUES('s-1', 1, '{"name": "polite", "instructions_judge_pydantic_data": {"model": "openai:/gpt-4o"}}', 5), ('s-1', 3, '{"name": "polite"}', 7),
	('s-2', 1, '{"name": "code", "call_source": "return 1"}', 6);
INSERT INTO online_scoring_configs VALUES('o-1', 's-1', 0.25, 3, NULL);
INSERT INTO issues VALUES('iss-1', 3, 'slow', 'answers take long', 'pending', 'low', '["network"]', 'a0000000000000000000000000000001', '["latency"]', 8, 9, 'kim');
INSERT INTO entity_associations VALUES('e4', 'evaluation_dataset', 'd-1', 'experiment', '3', 1);
