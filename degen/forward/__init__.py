"""One forward pass that serves every stream probe: hooks, token losses, what the head receives.

Imports probe and what lies below it.
"""
