"""Formats of checkpoints, one file a format: each tells by its files that it is meant, and gives tensors by name.

Imports weights and what lies below it.
"""
