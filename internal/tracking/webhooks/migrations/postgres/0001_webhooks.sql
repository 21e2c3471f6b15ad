-- Webhooks and what is still to be delivered. Times are milliseconds since 1970.
CREATE TABLE webhooks(
	id TEXT COLLATE "C" PRIMARY KEY,
	namespace TEXT COLLATE "C" NOT NULL,
	name TEXT COLLATE "C" NOT NULL,
	url TEXT COLLATE "C" NOT NULL,
	description TEXT COLLATE "C" NOT NULL,
	secret TEXT COLLATE "C" NOT NULL, -- sealed; empty is none
	active BIGINT NOT NULL,
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL
);
CREATE INDEX webhooks_list ON webhooks(namespace, created DESC, id);
CREATE TABLE webhook_events(
	webhook TEXT COLLATE "C" NOT NULL REFERENCES webhooks(id) ON DELETE CASCADE,
	position BIGINT NOT NULL,
	event TEXT COLLATE "C" NOT NULL,
	PRIMARY KEY(webhook, event)
);
CREATE INDEX webhook_events_event ON webhook_events(event, webhook);
-- A row is a delivery that nobody has answered yet; who sends it has the lease.
CREATE TABLE webhook_deliveries(
	id TEXT COLLATE "C" PRIMARY KEY,
	webhook TEXT COLLATE "C" NOT NULL REFERENCES webhooks(id) ON DELETE CASCADE,
	event TEXT COLLATE "C" NOT NULL,
	body TEXT COLLATE "C" NOT NULL,
	attempts BIGINT NOT NULL DEFAULT 0,
	due BIGINT NOT NULL,
	leased BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries(due, id);
CREATE INDEX webhook_deliveries_webhook ON webhook_deliveries(webhook);
