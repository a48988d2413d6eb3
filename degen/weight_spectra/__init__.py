"""The spectrum of every weight matrix of a checkpoint, from stored tensors alone: kinds, layers, fused ones split.

Imports delta and what lies below it.
"""
