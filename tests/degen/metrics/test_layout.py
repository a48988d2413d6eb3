"""Which column of a table is what."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from degen.metrics.layout import FACTS, NAMES_CHECKPOINT, read_layout
from degen.tables import CHECKPOINTS, ENGINE_TABLES


def test_no_column_of_the_engine_is_taken_for_a_metric_where_checkpoints_are_read_as_a_table() -> None:
    """Numbers would become metrics, and text would tell apart what is one curve."""
    columns = {c.name for c in ENGINE_TABLES[CHECKPOINTS] if c.type != "bool"}
    assert columns - FACTS - NAMES_CHECKPOINT - {"model"} == set()


@pytest.mark.parametrize(
    "fact",
    [
        "learning_rate", "train/learning_rate", "lr-AdamW", "grad_norm", "train/grad_norm", "optim/total grad norm",
        "epoch", "train/epoch", "eval_runtime", "eval_samples_per_second", "eval/steps_per_second", "total_flos",
        "iter_time", "remaining_time", "total_tokens", "consumed_tokens", "tokens_per_sec_per_gpu", "global_batch_size",
        "throughput/device/TPS", "throughput/device/MFU", "system/GPU active mem (GiB)", "gen_len",
        "num_input_tokens_seen",
        "hardware_tflops_per_gpu", "time_per_iteration_ms", "_runtime", "_timestamp", "weight_decay", "momentum",
    ],
)  # fmt: skip
def test_what_logs_say_of_a_training_is_no_metric(fact: str) -> None:
    table = pa.table({"step": [1, 2], fact: [0.5, 0.25], "brier": [0.5, 0.25]})
    assert read_layout(table, Path("t")).usual == ("brier",)


@pytest.mark.parametrize("metric", ["epoch_loss", "brier", "train_loss_epoch", "eval/gpqa", "mmlu", "reward"])
def test_words_of_facts_within_other_words_make_no_facts(metric: str) -> None:
    table = pa.table({"step": [1, 2], metric: [0.5, 0.25]})
    assert read_layout(table, Path("t")).usual == (metric,)


def test_losses_of_training_come_last_and_in_a_log_so_does_one_that_does_not_say_of_what() -> None:
    table = pa.table({name: [1.0, 0.5] for name in ("step", "train/loss", "loss", "acc", "val/loss", "valLoss")})
    assert read_layout(table, Path("t")).usual == ("loss", "acc", "val/loss", "valLoss", "train/loss")
    assert read_layout(table, Path("t"), is_log=True).usual == ("acc", "val/loss", "valLoss", "train/loss", "loss")
