"""Sums and rows of hidden states that several probes share.

An accumulator is filled once for each batch and site, whichever probes use it; it does not grow with the tokens.

Imports probe and what lies below it.
"""
