-- Data sets: a version never changes; the bytes lie in the blob store under their digest.
CREATE TABLE data_versions(
	namespace TEXT NOT NULL,
	name      TEXT NOT NULL,
	version   INTEGER NOT NULL CHECK(version > 0),
	digest    TEXT NOT NULL CHECK(length(digest) = 64),
	format    TEXT NOT NULL CHECK(format IN ('csv', 'parquet')),
	rows      INTEGER NOT NULL CHECK(rows >= 0),
	bytes     INTEGER NOT NULL CHECK(bytes >= 0),
	schema    TEXT NOT NULL,
	origin    TEXT NOT NULL,
	created   INTEGER NOT NULL,
	PRIMARY KEY(namespace, name, version),
	UNIQUE(namespace, name, digest)
) WITHOUT ROWID;

-- A stream is what one model version answered at one endpoint; rows are numbered from 0.
CREATE TABLE data_streams(
	id        INTEGER PRIMARY KEY,
	namespace TEXT NOT NULL,
	endpoint  TEXT NOT NULL,
	model     TEXT NOT NULL,
	version   TEXT NOT NULL,
	rows      INTEGER NOT NULL DEFAULT 0,
	UNIQUE(namespace, endpoint, model, version)
);

CREATE TABLE data_revisions(
	stream   INTEGER NOT NULL REFERENCES data_streams(id) ON DELETE CASCADE,
	revision TEXT NOT NULL,
	PRIMARY KEY(stream, revision)
) WITHOUT ROWID;

-- What a monitor asked to be kept of an endpoint's predictions.
CREATE TABLE data_recordings(
	namespace TEXT NOT NULL,
	endpoint  TEXT NOT NULL,
	spec      TEXT NOT NULL,
	PRIMARY KEY(namespace, endpoint)
) WITHOUT ROWID;

CREATE TABLE data_predictions(
	id       TEXT PRIMARY KEY,
	stream   INTEGER NOT NULL REFERENCES data_streams(id) ON DELETE CASCADE,
	seq      INTEGER NOT NULL,
	revision TEXT NOT NULL,
	time     INTEGER NOT NULL,
	output   TEXT NOT NULL,
	features BLOB,
	label    TEXT,
	labelled INTEGER,
	correct  INTEGER,
	UNIQUE(stream, seq)
) WITHOUT ROWID;
CREATE INDEX data_predictions_time ON data_predictions(stream, time);
CREATE INDEX data_predictions_labelled ON data_predictions(stream, time, labelled, correct) WHERE labelled IS NOT NULL;

-- Counts per bin of a profile, one row for each window of a stream.
CREATE TABLE data_counts(
	stream  INTEGER NOT NULL REFERENCES data_streams(id) ON DELETE CASCADE,
	profile TEXT NOT NULL,
	window  INTEGER NOT NULL,
	rows    INTEGER NOT NULL,
	counts  BLOB NOT NULL,
	PRIMARY KEY(stream, profile, window)
) WITHOUT ROWID;
