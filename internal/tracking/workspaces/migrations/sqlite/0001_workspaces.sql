CREATE TABLE workspaces(
	name TEXT NOT NULL PRIMARY KEY,
	description TEXT
);
