"""What users' own tests get from pytest: the fixtures of Restoreproof, loaded by its entry point."""
