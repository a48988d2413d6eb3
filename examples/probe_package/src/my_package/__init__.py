"""A probe of degen in a package of its own."""
