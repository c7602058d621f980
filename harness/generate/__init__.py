"""Draws plans with Hypothesis, and expands shapes into explicit operations by pure functions."""
