"""Curves of metrics over training, read from a run, a table or results of lm-evaluation-harness.

Imports runs and what lies below it.
"""
