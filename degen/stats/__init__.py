"""Statistics, independent of checkpoints: jackknife, quantiles, isotonic regression, straight lines, bootstrap.

Imports the ground files alone.
"""
