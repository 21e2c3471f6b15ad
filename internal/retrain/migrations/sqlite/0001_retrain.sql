-- What was decided in a retraining, with its numbers. A step that is repeated
-- after a crash finds its record and adds none.
CREATE TABLE retrain_decisions(
	retraining TEXT NOT NULL,
	step       TEXT NOT NULL,
	namespace  TEXT NOT NULL,
	policy     TEXT NOT NULL,
	endpoint   TEXT NOT NULL,
	time       INTEGER NOT NULL,
	phase      TEXT NOT NULL,
	reason     TEXT NOT NULL,
	message    TEXT NOT NULL,
	numbers    TEXT NOT NULL,
	PRIMARY KEY(retraining, step)
) WITHOUT ROWID;
CREATE INDEX retrain_decisions_list ON retrain_decisions(namespace, time, retraining);
