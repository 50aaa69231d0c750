"""The paper's experiments by name: what is varied, what is measured, and the tables of it."""
