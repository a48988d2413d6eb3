"""From what a user names to ordered checkpoints: folders, the hub, suites, adapters; and their files, fetched.

Imports planning and what lies below it.
"""
