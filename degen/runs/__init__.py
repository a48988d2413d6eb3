"""A run folder: written part by part, read, exported.

Imports checkpoints and what lies below it.
"""
