-- What was decided in a retraining, with its numbers. A step that is repeated
-- after a crash finds its record and adds none.
CREATE TABLE retrain_decisions(
	retraining TEXT COLLATE "C" NOT NULL,
	step       TEXT COLLATE "C" NOT NULL,
	namespace  TEXT COLLATE "C" NOT NULL,
	policy     TEXT COLLATE "C" NOT NULL,
	endpoint   TEXT COLLATE "C" NOT NULL,
	time       BIGINT NOT NULL,
	phase      TEXT COLLATE "C" NOT NULL,
	reason     TEXT COLLATE "C" NOT NULL,
	message    TEXT COLLATE "C" NOT NULL,
	numbers    TEXT COLLATE "C" NOT NULL,
	PRIMARY KEY(retraining, step)
);
CREATE INDEX retrain_decisions_list ON retrain_decisions(namespace, time, retraining);
