"""Values only: plans, histories, schemas, verdicts, errors. No I/O, no clock, no randomness.

Everything else in the house speaks in these words, and this package imports nothing of it.
"""
