"""Runs a plan: workload, saboteur, injector, and the one runner that merges them into a history."""
