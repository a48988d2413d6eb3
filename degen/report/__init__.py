"""One page for a run or several: what saturated and since when, in words and figures, in a file that works offline.

Imports figures and what lies below it.
"""
