-- What was brought from elsewhere, so that an interrupted import goes on where it stopped.
CREATE TABLE tracking_imports(source TEXT NOT NULL, unit TEXT NOT NULL, PRIMARY KEY(source, unit)) WITHOUT ROWID;
