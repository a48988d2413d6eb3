"""Results of evaluation harnesses (lm-evaluation-harness, lighteval, OLMES), each file or folder read as one table.

Imports checkpoints and what lies below it.
"""
