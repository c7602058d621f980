"""Starts, stops and disturbs the real services of a drill.

``stack.Stack`` is what others use; ``services`` describes each service once, ``local`` runs those
descriptions as plain processes.
"""
