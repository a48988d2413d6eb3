"""The steps of `bench/accelerator.py`, a file each, and what they share."""
