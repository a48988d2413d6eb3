"""A scan from plan to parts: settings, sample, every checkpoint measured. The way of the data is `scan.Scan.run`.

Imports runs and what lies below it.
"""
