"""Runs in TensorBoard: an event file for each series, with float64 values; replaced whole when it is written again."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from degen.errors import DegenError
from degen.paths import atomic, expand_user

from .tracked_series import TrackedSeries

# `tfevents` is what TensorBoard looks for. No time stands in the name, so that a second replay finds the file.
FILE = "events.out.tfevents.0.degen-{identity}"


def write(series: Sequence[TrackedSeries], options: Mapping[str, str]) -> list[str]:
    """Write an event file for each series into a folder of its own, and return a line on each.

    Values are tensors of float64, as plugin `scalars` reads them, so that no digit is lost.

    Raises:
        DegenError: the folder cannot be written.
    """
    root = expand_user(options["folder"])
    lines = []
    for one in series:
        folder = root.joinpath(*(part for part in one.name.split("/") if part not in ("", ".", "..")))
        file = folder / FILE.format(identity=one.identity)
        content = b"".join(_records(one))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with atomic(file) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            raise DegenError(f"tensorboard: {file}: cannot be written ({error.strerror or error})") from error
        lines.append(f"{one.name}: {len(one.rows)} rows in {folder}")
    return lines


def _records(series: TrackedSeries) -> Iterator[bytes]:
    """Yield the event file of a series, record by record: its version, then an event for each checkpoint."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    now = time.time()
    begin = Event(wall_time=now, file_version="brain.Event:2")
    events = [begin, *(
        Event(wall_time=now, step=step, summary=Summary(value=[_value(name, value) for name, value in row.items()]))
        for step, row in series.rows.items()
    )]  # fmt: skip
    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    for event in events:
        writer.write(event.SerializeToString())
    yield buffer.getvalue()


def _value(name: str, value: float) -> Any:
    """Return a figure as a scalar of TensorBoard, in float64."""
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.types_pb2 import DT_DOUBLE

    plugin = SummaryMetadata.PluginData(plugin_name="scalars", content=b"")
    tensor = TensorProto(dtype=DT_DOUBLE, double_val=[value])
    return Summary.Value(tag=name, tensor=tensor, metadata=SummaryMetadata(plugin_data=plugin))
