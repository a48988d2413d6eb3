"""One file, one measure. Every probe here is found through the entry-point group `degen.probes`.

Imports weight_spectra and what lies below it.
"""
