"""The LM head at restricted rank, W = AB: in closed form, trained, and the rank at which it is a bottleneck.

Imports forward and what lies below it.
"""
