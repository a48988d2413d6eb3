"""Scaling laws L(N, D): their form, their fit, checks of it and intervals.

Imports the ground files alone.
"""
