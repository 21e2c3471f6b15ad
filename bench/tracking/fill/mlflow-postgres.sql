-- Runs 1 to {runs} of an experiment, as sample() has them, in MLflow's schema.
CREATE TEMP TABLE fill AS
	SELECT i, lpad(to_hex({experiment}), 8, '0') || lpad(to_hex(i), 24, '0') AS run FROM generate_series(1, {runs}) i;
INSERT INTO runs(run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, end_time, source_version, lifecycle_stage, artifact_uri, experiment_id)
	SELECT run, 'run ' || i, 'UNKNOWN', '', '', 'bench', 'FINISHED', 1000 + i, 2000 + i, '', 'active', 'mlflow-artifacts:/{experiment}/' || run || '/artifacts', {experiment} FROM fill;
INSERT INTO latest_metrics(key, value, timestamp, step, is_nan, run_uuid)
	SELECT 'm' || m, ((i::bigint * 7919 + m) % 1000) / 1000.0, 1, 0, false, run FROM fill, generate_series(0, 4) m;
INSERT INTO params(key, value, run_uuid)
	SELECT 'p' || p, ((i + p) % 10)::text, run FROM fill, generate_series(0, 4) p;
INSERT INTO tags(key, value, run_uuid)
	SELECT 't' || g, 'value ' || (i % 5), run FROM fill, generate_series(0, 2) g;
INSERT INTO tags(key, value, run_uuid) SELECT 'mlflow.runName', 'run ' || i, run FROM fill;
DROP TABLE fill;
