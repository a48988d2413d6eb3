"""Figures as Vega-Lite specifications, one file a figure: each makes a specification from a table.

Imports scaling and what lies below it.
"""
