"""The rows of `bench/peers.py`: each compares degen with one other way to the same figures, or with the floor."""
