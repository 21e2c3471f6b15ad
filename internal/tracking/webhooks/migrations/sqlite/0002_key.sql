-- What only the key that seals the secrets opens: copies with another are told so.
CREATE TABLE webhook_key(
	id INTEGER PRIMARY KEY CHECK(id = 1),
	sealed TEXT NOT NULL
);
