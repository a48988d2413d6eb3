"""One forward pass for all stream probes: hooks, token losses, the inputs of the LM head.

Imports model_probe and what lies below it.
"""
