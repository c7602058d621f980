"""Pure functions from (plan, history, restored rows) to findings; one check a file.

Shares nothing with ``subject`` but ``model``. Works on a run folder of last month.
"""
