-- What only the key that seals the secrets opens: copies with another are told so.
CREATE TABLE webhook_key(
	id BIGINT PRIMARY KEY CHECK(id = 1),
	sealed TEXT COLLATE "C" NOT NULL
);
