"""From what a user names to ordered checkpoints: folders, the hub, suites, adapters; and their files, fetched.

Imports model and what lies below it.
"""
