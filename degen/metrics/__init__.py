"""Curves of metrics over training, read from a run, a table, a log or results of evaluations.

Imports runs and what lies below it.
"""
