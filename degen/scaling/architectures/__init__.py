"""Comparisons of models: how fast architectures improve, and which models are best for their cost.

Imports scaling and below.
"""
