"""A checkpoint as a model: its architecture, its LM head, loading it, its parameters and FLOPs.

Imports checkpoint_formats and what lies below it.
"""
