"""Several machines, played by processes: PostgreSQL, Redis, workers and daemon are real."""
