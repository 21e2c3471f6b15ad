CREATE TABLE access_users(
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE,
	password TEXT NOT NULL,
	admin INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE access_roles(
	id INTEGER PRIMARY KEY,
	workspace TEXT NOT NULL,
	name TEXT NOT NULL,
	description TEXT,
	UNIQUE(workspace, name)
);
CREATE TABLE access_grants(
	id INTEGER PRIMARY KEY,
	role INTEGER NOT NULL REFERENCES access_roles(id) ON DELETE CASCADE,
	kind TEXT NOT NULL,
	pattern TEXT NOT NULL,
	permission TEXT NOT NULL,
	UNIQUE(role, kind, pattern)
);
CREATE INDEX access_grants_of ON access_grants(kind, pattern);
CREATE TABLE access_members(
	id INTEGER PRIMARY KEY,
	member INTEGER NOT NULL REFERENCES access_users(id) ON DELETE CASCADE,
	role INTEGER NOT NULL REFERENCES access_roles(id) ON DELETE CASCADE,
	UNIQUE(member, role)
);
CREATE INDEX access_members_of ON access_members(role);
