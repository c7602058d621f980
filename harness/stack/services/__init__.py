"""The services of a stack, one file per role: its description, and what only this role needs."""
