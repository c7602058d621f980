"""Backup systems under test: the port they all answer to, and the reference one.

Shares nothing with ``judge`` but ``model``: the oracle must not inherit the bugs of what it judges.
"""
