"""Text to token windows: corpora, tokenizers, and the windows every checkpoint is measured on.

Imports weights and what lies below it.
"""
