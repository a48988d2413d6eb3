"""What other programs wrote, each file or folder read as one table: CSV and Parquet, training logs, evaluations.

Imports checkpoints and what lies below it.
"""
