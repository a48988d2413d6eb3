"""The run folder of a training: the measurements of a watch, as `degen scan` would have written them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from degen.checkpoints.steps import parse_revision
from degen.errors import RunFolderError
from degen.runs.ownership import check_part
from degen.runs.run import SAMPLE
from degen.runs.run_writer import RunWriter, open_run, unwritable
from degen.scanning.run_info import complete_info
from degen.tables import CHECKPOINTS, TIMING, Rows

from .argument_names import argument_names
from .monitor import Measurement, Monitor

if TYPE_CHECKING:
    import torch

REMEDY = "choose another `out`"


class SavedStep(NamedTuple):
    """What names a step of a training in the tables."""

    model: str
    revision: str
    step: int


class RunRecorder:
    """A run folder that grows while a model trains.

    Args:
        folder: the run folder; it is made if it does not exist.
        monitor: the monitor whose measurements are written.
        label: the name of the model in the tables.
    """

    def __init__(self, folder: Path, monitor: Monitor, label: str) -> None:
        self.folder = folder
        self._monitor = monitor
        self._label = label
        self._device: torch.device | None = None
        self._dtype: Any = None

    def begin(self, step: int, device: torch.device, dtype: Any) -> None:
        """Prepare the folder, before anything is measured.

        Args:
            step: the step from which training continues; 0 for a new training. Measurements of later steps are
                deleted, because these steps will be trained again.
            device: the device of the model.
            dtype: the type of the model's weights.

        Raises:
            RunFolderError: the folder cannot be written, was made with other settings, or holds another training.
        """
        if step == 0 and (self.folder / CHECKPOINTS).is_dir():
            raise RunFolderError(
                f"{self.folder}: this folder holds the measurements of an earlier training", f"{REMEDY}, or delete it"
            )
        self._device, self._dtype = device, dtype
        with self._open() as writer:
            self._delete_after(step, writer)

    def write(self, step: int, measurement: Measurement) -> None:
        """Write a measurement at a step into the tables of the run.

        Raises:
            RunFolderError: the folder cannot be written.
        """
        checkpoint = self._checkpoint(step)
        with self._open() as writer:
            writer.info["batch_tokens"][f"{checkpoint.model}@{checkpoint.revision}"] = measurement.batch_tokens
            writer.save_info()
            writer.write(checkpoint, self._monitor.tables, measurement.rows, measurement.source_hash)

    def write_failed(self, step: int, reason: str) -> None:
        """Write into the tables that the model could not be measured at a step, with the reason.

        Raises:
            RunFolderError: the folder cannot be written.
        """
        rows: Rows = {CHECKPOINTS: [{"status": "failed", "reason": reason}], TIMING: []}
        with self._open() as writer:
            writer.write(self._checkpoint(step), self._monitor.tables, rows, "")

    def _delete_after(self, step: int, writer: RunWriter) -> None:
        parts = writer.part(CHECKPOINTS, self._checkpoint(step)).parent.glob("step*.parquet")
        for mark in filter(None, [parse_revision(part.stem) for part in parts]):
            if mark.step is not None and mark.step > step:
                for table in (CHECKPOINTS, *self._monitor.tables.names):
                    part = writer.part(table, self._checkpoint(mark.step))
                    check_part(part)
                    part.unlink(missing_ok=True)

    def _checkpoint(self, step: int) -> SavedStep:
        return SavedStep(self._label, f"step{step}", step)

    @contextmanager
    def _open(self) -> Iterator[RunWriter]:
        monitor, device = self._monitor, self._device
        assert device is not None  # `begin` comes first
        settings = monitor.settings.to_json() | {"series": [self._label]}
        try:
            with argument_names(), open_run(self.folder, settings, fresh=False) as writer:
                complete_info(
                    writer, [self._label], monitor.probes, monitor.tables, monitor.samples, device, self._dtype
                )
                if not (self.folder / SAMPLE).is_file():
                    monitor.samples.save(writer)
                writer.save_info()
                yield writer
        except OSError as error:
            raise RunFolderError(unwritable(self.folder, error).problem, REMEDY) from error
        except RunFolderError as error:  # its remedy is an option of the command line
            raise RunFolderError(error.problem, REMEDY) from error
