"""Identities over cameras: which tracks of an archive show one person.

Tracks are compared by what their embeddings say for and against one person, in the states in which
they were seen, and by whether somebody can have come from the one to the other in that time.
"""
