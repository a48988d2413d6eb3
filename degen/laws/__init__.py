"""Scaling laws L(N, D): their form, their fit, checks of it and intervals.

Imports stats and below.
"""
