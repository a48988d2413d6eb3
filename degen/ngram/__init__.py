"""How many dimensions the next-token distributions of a corpus need: n-grams counted, their matrix, its W-error.

Imports scanning and what lies below it.
"""
