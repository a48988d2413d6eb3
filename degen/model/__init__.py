"""A checkpoint as a model: its architecture, its LM head, loading it, its parameters and FLOPs.

Imports weights and what lies below it.
"""
