-- Runs 1 to {runs} of an experiment, as sample() has them, in MLflow's schema.
CREATE TEMP TABLE fill AS
	WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {runs})
	SELECT i, printf('%08x%024x', {experiment}, i) AS run FROM n;
INSERT INTO runs(run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, end_time, source_version, lifecycle_stage, artifact_uri, experiment_id)
	SELECT run, 'run ' || i, 'UNKNOWN', '', '', 'bench', 'FINISHED', 1000 + i, 2000 + i, '', 'active', 'mlflow-artifacts:/{experiment}/' || run || '/artifacts', {experiment} FROM fill;
INSERT INTO latest_metrics(key, value, timestamp, step, is_nan, run_uuid)
	SELECT 'm' || m.value, ((i * 7919 + m.value) % 1000) / 1000.0, 1, 0, 0, run FROM fill, json_each('[0,1,2,3,4]') m;
INSERT INTO params(key, value, run_uuid)
	SELECT 'p' || p.value, CAST((i + p.value) % 10 AS TEXT), run FROM fill, json_each('[0,1,2,3,4]') p;
INSERT INTO tags(key, value, run_uuid)
	SELECT 't' || g.value, 'value ' || (i % 5), run FROM fill, json_each('[0,1,2]') g;
INSERT INTO tags(key, value, run_uuid) SELECT 'mlflow.runName', 'run ' || i, run FROM fill;
DROP TABLE fill;
