"""The sections of the page, one file each, listed in `degen/report/registry.py`.

Imports figures and what lies below it.
"""
