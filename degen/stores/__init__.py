"""Files that lie elsewhere: object stores and other file systems of fsspec, by URL.

Imports the ground files alone.
"""
