"""`degen similarity`: the states that the probe `states` kept, compared between checkpoints.

Imports metrics and what lies below it.
"""
