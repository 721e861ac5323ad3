"""The store: one SQLite file (WAL), one writer thread, a few readers; and the blobs beside it."""
