"""One file, one measure. Every probe here is found through the entry-point group `degen.probes`.

Imports delta and what lies below it.
"""
