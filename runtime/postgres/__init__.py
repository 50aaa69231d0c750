"""PostgreSQL: where a database is, how to reach it, and its errors in plain words."""
