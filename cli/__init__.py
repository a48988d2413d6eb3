"""One file, one command: parse, call, print. What is computed is computed in `degen`.

Imports report and what lies below it.
"""
