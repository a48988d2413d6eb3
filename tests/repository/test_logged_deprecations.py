"""What transformers only logs of things it is to drop is an error in these tests, as its warnings are."""

from __future__ import annotations

import pytest


def test_a_logged_deprecation_is_an_error() -> None:
    from transformers.utils import logging

    with pytest.raises(DeprecationWarning, match="`old` is deprecated"):
        logging.get_logger("transformers.models.any").warning_once("`%s` is deprecated", "old")
    logging.get_logger("transformers.models.any").warning_once("a tensor is new")
