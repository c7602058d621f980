"""Measurements of the real stack, printed beside their limits; never part of the tests."""
