-- Runs 1 to {runs} of an experiment, as sample() has them.
CREATE TEMP TABLE fill AS
	SELECT i, lpad(to_hex({experiment}), 8, '0') || lpad(to_hex(i), 24, '0') AS run FROM generate_series(1, {runs}) i;
INSERT INTO runs(uuid, exp, start, "end", status, name, "user", uri)
	SELECT run, {experiment}, 1000 + i, 2000 + i, 3, 'run ' || i, 'bench', 'mlflow-artifacts:/{experiment}/' || run || '/artifacts' FROM fill ORDER BY i;
CREATE TEMP TABLE filled AS SELECT r.id, r.start - 1000 AS i FROM runs r WHERE r.exp = {experiment} AND r.start > 1000 ORDER BY r.id;
INSERT INTO run_latest(run, k, exp, start, value, nan, step, ts)
	SELECT f.id, k.id, {experiment}, 1000 + f.i, ((f.i * 7919 + m) % 1000) / 1000.0, 0, 0, 1 FROM filled f CROSS JOIN generate_series(0, 4) m JOIN run_keys k ON k.key = 'm' || m;
INSERT INTO run_params(run, k, exp, start, v)
	SELECT f.id, k.id, {experiment}, 1000 + f.i, ((f.i + p) % 10)::text FROM filled f CROSS JOIN generate_series(0, 4) p JOIN run_keys k ON k.key = 'p' || p;
INSERT INTO run_tags(run, k, exp, start, v)
	SELECT f.id, k.id, {experiment}, 1000 + f.i, 'value ' || (f.i % 5) FROM filled f CROSS JOIN generate_series(0, 2) g JOIN run_keys k ON k.key = 't' || g;
INSERT INTO run_tags(run, k, exp, start, v)
	SELECT f.id, k.id, {experiment}, 1000 + f.i, 'run ' || f.i FROM filled f JOIN run_keys k ON k.key = 'mlflow.runName';
DROP TABLE filled;
DROP TABLE fill;
