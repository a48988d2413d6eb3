"""The memory that training takes for gradients and states of the optimiser, of an adapter and of the whole model."""

from __future__ import annotations

from dataclasses import dataclass

from degen.tables import Row

# Bytes of a parameter in each dtype, and what an optimiser keeps of it: values in that dtype, and bytes of its own.
DTYPES = {"float32": 4, "bfloat16": 2, "float16": 2}
OPTIMIZERS: dict[str, tuple[int, int]] = {
    "sgd": (0, 0),  # without momentum
    "momentum": (1, 0),
    "lion": (1, 0),  # Chen et al. 2023
    "adamw": (2, 0),  # Loshchilov and Hutter 2019: mean and mean of squares
    "adamw-8bit": (0, 2),  # Dettmers et al. 2022: both in eight bits; a scale for 2,048 values is not counted
}


@dataclass(frozen=True)
class TrainingCost:
    """What training some parameters takes beside the weights and activations.

    Attributes:
        parameters: how many are trained.
        dtype: of weights and gradients.
        optimizer: its name.
    """

    parameters: int
    dtype: str
    optimizer: str

    @property
    def gradients(self) -> int:
        """Bytes of the gradients: one value a parameter."""
        return self.parameters * DTYPES[self.dtype]

    @property
    def states(self) -> int:
        """Bytes of the optimiser's states."""
        values, own_bytes = OPTIMIZERS[self.optimizer]
        return self.parameters * (values * DTYPES[self.dtype] + own_bytes)


def training_costs(trained: int, parameters: int | None) -> list[Row]:
    """Return the costs of training an adapter beside those of the whole model, by dtype and optimiser.

    Args:
        trained: parameters of the adapter.
        parameters: those of the base; None where unknown.

    Returns:
        A row for each pair, with `dtype`, `optimizer`, `gradient_bytes`, `state_bytes`, and both of the whole model as
        `full_gradient_bytes` and `full_state_bytes`.
    """
    rows = []
    for dtype in DTYPES:
        for optimizer in OPTIMIZERS:
            own = TrainingCost(trained, dtype, optimizer)
            full = TrainingCost(parameters, dtype, optimizer) if parameters is not None else None
            rows.append({
                "dtype": dtype, "optimizer": optimizer, "gradient_bytes": own.gradients, "state_bytes": own.states,
                "full_gradient_bytes": full.gradients if full is not None else None,
                "full_state_bytes": full.states if full is not None else None,
            })  # fmt: skip
    return rows
