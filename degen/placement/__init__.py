"""Where the parameters of a model are when they are not all in memory: divided among processes, or offloaded.

Imports model and what lies below it.
"""
