"""Statistics that know nothing of checkpoints: jackknife, quantiles, isotonic and straight lines, bootstrap.

Imports the ground files alone.
"""
