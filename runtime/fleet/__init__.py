"""A fleet: keeps the tracks that all nodes tell of in PostgreSQL, and answers questions about them.

Needs the extras `central` (psycopg) and, to receive, `node` (paho-mqtt).
"""
