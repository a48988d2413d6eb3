"""How long a scan would take on a device that need not be here: rates from a table, or measured on the spot.

Imports model and what lies below it.
"""
