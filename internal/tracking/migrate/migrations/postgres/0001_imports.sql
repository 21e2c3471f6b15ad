-- What was brought from elsewhere, so that an interrupted import goes on where it stopped.
CREATE TABLE tracking_imports(source TEXT COLLATE "C" NOT NULL, unit TEXT COLLATE "C" NOT NULL, PRIMARY KEY(source, unit));
