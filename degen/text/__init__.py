"""Text to token windows: corpora, tokenizers, and the windows every checkpoint is measured on.

Imports the ground files alone.
"""
