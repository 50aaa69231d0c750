"""A gallery in PostgreSQL with pgvector, which many nodes share: the extra `central`."""
