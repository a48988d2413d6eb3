"""One file, one command: parse, call, print. What is computed is computed in `degen`.

Imports audit and what lies below it.
"""
