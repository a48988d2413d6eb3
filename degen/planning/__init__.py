"""How long a scan would take on a device that need not be here: rates from a table, or measured on the spot.

Imports the ground files alone.
"""
