"""`degen push`: a run's tables as a dataset repository of the hub, with a card that says what they are.

Imports scanning and what lies below it.
"""
