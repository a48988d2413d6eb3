"""Which architecture improves faster, which models are worth their cost.

Imports scaling and below.
"""
