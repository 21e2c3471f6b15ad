-- A baseline is where judging one model version against one reference began.
CREATE TABLE monitor_baselines(
	id        INTEGER PRIMARY KEY,
	monitor   TEXT NOT NULL,
	namespace TEXT NOT NULL,
	name      TEXT NOT NULL,
	endpoint  TEXT NOT NULL,
	model     TEXT NOT NULL,
	version   TEXT NOT NULL,
	reference TEXT NOT NULL,
	size      INTEGER NOT NULL CHECK(size > 0),
	origin    INTEGER NOT NULL CHECK(origin >= 0),
	created   INTEGER NOT NULL,
	UNIQUE(monitor, model, version, reference, size)
);
CREATE INDEX monitor_baselines_endpoint ON monitor_baselines(namespace, endpoint);

CREATE TABLE monitor_windows(
	baseline INTEGER NOT NULL REFERENCES monitor_baselines(id) ON DELETE CASCADE,
	idx      INTEGER NOT NULL CHECK(idx >= 0),
	started  INTEGER NOT NULL,
	ended    INTEGER NOT NULL,
	first_id TEXT NOT NULL,
	verdict  TEXT NOT NULL CHECK(verdict IN ('NoDrift', 'Drift', 'InsufficientData')),
	detail   TEXT NOT NULL,
	labelled INTEGER NOT NULL,
	correct  INTEGER NOT NULL,
	judged   INTEGER NOT NULL,
	PRIMARY KEY(baseline, idx)
) WITHOUT ROWID;

CREATE TABLE monitor_alerts(
	id        TEXT PRIMARY KEY,
	baseline  INTEGER NOT NULL REFERENCES monitor_baselines(id) ON DELETE CASCADE,
	kind      TEXT NOT NULL CHECK(kind IN ('drift', 'performance')),
	opened    INTEGER NOT NULL,
	resolved  INTEGER,
	outcome   TEXT NOT NULL DEFAULT '',
	window    INTEGER NOT NULL,
	started   INTEGER NOT NULL,
	message   TEXT NOT NULL,
	numbers   TEXT NOT NULL
) WITHOUT ROWID;
-- At most one alert of a kind fires at a time.
CREATE UNIQUE INDEX monitor_alerts_firing ON monitor_alerts(baseline, kind) WHERE resolved IS NULL;

-- What a webhook has been told, or is still to be told.
CREATE TABLE monitor_deliveries(
	alert    TEXT NOT NULL REFERENCES monitor_alerts(id) ON DELETE CASCADE,
	state    TEXT NOT NULL CHECK(state IN ('firing', 'resolved')),
	attempts INTEGER NOT NULL DEFAULT 0,
	due      INTEGER NOT NULL,
	done     INTEGER,
	fault    TEXT NOT NULL DEFAULT '',
	PRIMARY KEY(alert, state)
) WITHOUT ROWID;
CREATE INDEX monitor_deliveries_due ON monitor_deliveries(due) WHERE done IS NULL;
