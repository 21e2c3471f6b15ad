-- MCP servers. Times are milliseconds since 1970; icons, doc, tools and options are JSON.
CREATE TABLE mcp_servers(
	id INTEGER PRIMARY KEY,
	namespace TEXT NOT NULL,
	name TEXT NOT NULL,
	display_name TEXT,
	description TEXT,
	icons TEXT,
	created_by TEXT,
	updated_by TEXT,
	created INTEGER NOT NULL,
	updated INTEGER NOT NULL,
	UNIQUE(namespace, name)
);
-- pre orders what follows the three numbers (semver.go).
CREATE TABLE mcp_versions(
	id INTEGER PRIMARY KEY,
	server INTEGER NOT NULL REFERENCES mcp_servers(id) ON DELETE CASCADE,
	version TEXT NOT NULL,
	major INTEGER NOT NULL,
	minor INTEGER NOT NULL,
	patch INTEGER NOT NULL,
	pre TEXT NOT NULL,
	status TEXT NOT NULL,
	doc TEXT NOT NULL,
	tools TEXT,
	options TEXT,
	source TEXT,
	created_by TEXT,
	updated_by TEXT,
	created INTEGER NOT NULL,
	updated INTEGER NOT NULL,
	UNIQUE(server, version)
);
CREATE INDEX mcp_versions_latest ON mcp_versions(server, status, major DESC, minor DESC, patch DESC);
CREATE TABLE mcp_server_tags(
	server INTEGER NOT NULL REFERENCES mcp_servers(id) ON DELETE CASCADE,
	key TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY(server, key)
) WITHOUT ROWID;
CREATE TABLE mcp_version_tags(
	version INTEGER NOT NULL REFERENCES mcp_versions(id) ON DELETE CASCADE,
	key TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY(version, key)
) WITHOUT ROWID;
CREATE TABLE mcp_aliases(
	server INTEGER NOT NULL REFERENCES mcp_servers(id) ON DELETE CASCADE,
	alias TEXT NOT NULL,
	version INTEGER NOT NULL REFERENCES mcp_versions(id) ON DELETE CASCADE,
	PRIMARY KEY(server, alias)
) WITHOUT ROWID;
CREATE INDEX mcp_aliases_version ON mcp_aliases(version);
-- An endpoint has a version or an alias.
CREATE TABLE mcp_endpoints(
	id TEXT PRIMARY KEY,
	server INTEGER NOT NULL REFERENCES mcp_servers(id) ON DELETE CASCADE,
	version INTEGER REFERENCES mcp_versions(id) ON DELETE CASCADE,
	alias TEXT,
	url TEXT NOT NULL,
	transport TEXT NOT NULL,
	created_by TEXT,
	updated_by TEXT,
	created INTEGER NOT NULL,
	updated INTEGER NOT NULL,
	CHECK((version IS NULL) <> (alias IS NULL))
);
CREATE INDEX mcp_endpoints_server ON mcp_endpoints(server, id);
CREATE INDEX mcp_endpoints_version ON mcp_endpoints(version);
