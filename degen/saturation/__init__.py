"""When a metric of a model got worse late in training, since when, and by how much."""
