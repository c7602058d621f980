"""Restoreproof: proves that every tenant can be restored alone, or shows which one can't."""

__version__ = "0.1.0"
