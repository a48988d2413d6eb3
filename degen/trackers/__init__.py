"""Runs in the trackers that people already look at: one file a tracker, which replays a run there once.

Imports runs and what lies below it.
"""
