"""Adapters whose update is a product of small factors, and needs no weights of the base: LoRA and its kin.

| kind | ΔW | source |
| --- | --- | --- |
| LoRA | (α/r) BA | Hu et al. 2021, arXiv 2106.09685 |
| rsLoRA | (α/√r) BA | Kalajdzievski 2023, arXiv 2312.03732 |
| AdaLoRA | α B diag(e) A / r₀, r₀ the rank at the beginning | Zhang et al. 2023, arXiv 2303.10512 |
| VeRA | diag(b) B diag(d) A, A and B random and shared | Kopiczko et al. 2023, arXiv 2310.11454 |
| LoHa | (α/r) (B₁A₁) ∘ (B₂A₂) | Hyeon-Woo et al. 2021, arXiv 2108.06098 |
| LoKr | (α/r) C ⊗ D | Yeh et al. 2023, arXiv 2309.14859 |
| Poly | (1/r) (Σ_s w_s A_s) (Σ_s w_s B_s), transposed | Ponti et al. 2023, arXiv 2202.13914 |
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from degen.errors import CheckpointError

from .adapter_tensors import AdapterTensors
from .matrices import Kronecker, LowRank, Matrix, ReadRows
from .name_patterns import value_for

if TYPE_CHECKING:
    import torch

Settings = Mapping[str, Any]


def number(settings: Settings, name: str, default: Any = None) -> float:
    """Return an entry of the configuration that must be a finite number.

    Raises:
        CheckpointError: it is not.
    """
    value = settings.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise CheckpointError(f"{name} of the adapter's configuration is {value!r:.40}, and must be a number")
    return float(value)


def _positive(settings: Settings, name: str) -> float:
    """Return an entry of the configuration that must be a number above 0.

    Raises:
        CheckpointError: it is not.
    """
    value = number(settings, name)
    if value <= 0:
        raise CheckpointError(f"{name} of the adapter's configuration is {value:g}, and must be above 0")
    return value


def scale_of(settings: Settings, module: str, rank: int, alpha: str) -> float:
    """Return α/r, or α/√r for rsLoRA, of a module.

    Args:
        settings: the configuration.
        module: name of the module.
        rank: r by the shapes of its tensors.
        alpha: the entry of α.

    Raises:
        CheckpointError: the configuration gives another rank than the tensors have.
    """
    given = value_for(settings.get("rank_pattern"), module, settings.get("r"), "rank_pattern")
    if given != rank or rank < 1:
        raise CheckpointError(
            f"{module}: r is {given!r:.40} by the adapter's configuration, and its tensors have {rank}; are both files "
            "of one adapter?"
        )
    scale = value_for(settings.get("alpha_pattern"), module, settings.get(alpha), "alpha_pattern")
    return number({alpha: scale}, alpha) / (math.sqrt(rank) if settings.get("use_rslora") else rank)


def lora(tensors: AdapterTensors, module: str, settings: Settings) -> LowRank:
    """Return (α/r) BA of LoRA: of an embedding its transpose, (BA)ᵀ, and of a convolution that of its unfolded kernel.

    Raises:
        CheckpointError: a factor is missing, or the two do not fit each other.
    """
    if "lora_embedding_A" in tensors.modules[module]:
        B, A = tensors.part(module, "lora_embedding_A").T, tensors.part(module, "lora_embedding_B").T
    else:
        B, A = tensors.part(module, "lora_B").flatten(1), tensors.part(module, "lora_A").flatten(1)
    _check_product(module, B, A)
    return LowRank(B * scale_of(settings, module, B.shape[1], "lora_alpha"), A)


def adalora(tensors: AdapterTensors, module: str, settings: Settings) -> LowRank:
    """Return α B diag(e) A / (r₀ + 10⁻⁵) of AdaLoRA; α ≤ 0 stands for the rank that is left."""
    B, A, e = (tensors.part(module, f"lora_{part}") for part in "BAE")
    _check_product(module, B, A)
    if e.shape != (A.shape[0], 1):
        raise CheckpointError(f"{module}: lora_E does not fit lora_A; are the adapter's files whole?")
    alpha, begin = number(settings, "lora_alpha"), _positive(settings, "init_r")
    scale = (alpha if alpha > 0 else float(A.shape[0])) / (begin + 1e-5)
    return LowRank(B * scale, A * e)


def loha(tensors: AdapterTensors, module: str, settings: Settings) -> Matrix:
    """Return (α/r) (B₁A₁) ∘ (B₂A₂) of LoHa, a product of rank r²: row i of its left factor is B₁ᵢ ⊗ B₂ᵢ.

    Where r² is no less than its shorter side, its rows are computed when they are needed.
    """
    B1, A1, B2, A2 = (tensors.part(module, f"hada_w{part}") for part in ("1_a", "1_b", "2_a", "2_b"))
    _check_product(module, B1, A1)
    _check_product(module, B2, A2)
    if B1.shape != B2.shape or A1.shape != A2.shape:
        raise CheckpointError(f"{module}: the two products of LoHa do not fit each other")
    rank = B1.shape[1]
    scale, shape = scale_of(settings, module, rank, "alpha"), (B1.shape[0], A1.shape[1])
    if rank**2 < min(shape):
        left = (B1.unsqueeze(2) * B2.unsqueeze(1)).flatten(1)
        return LowRank(left * scale, (A1.unsqueeze(1) * A2.unsqueeze(0)).flatten(0, 1))
    return ReadRows(shape, lambda i, j: scale * (B1[i:j] @ A1) * (B2[i:j] @ A2))


def lokr(tensors: AdapterTensors, module: str, settings: Settings) -> Kronecker:
    """Return (α/r) C ⊗ D of LoKr, each factor whole or a product of thin ones."""
    factors = []
    for name in ("lokr_w1", "lokr_w2"):
        if name in tensors.modules[module]:
            factors.append(tensors.part(module, name))
        else:
            B, A = tensors.part(module, f"{name}_a"), tensors.part(module, f"{name}_b")
            _check_product(module, B, A)
            factors.append(B @ A)
    if any(factor.dim() != 2 for factor in factors):
        raise CheckpointError(f"{module}: a factor of LoKr is no matrix")
    rank = value_for(settings.get("rank_pattern"), module, settings.get("r"), "rank_pattern")
    alpha = value_for(settings.get("alpha_pattern"), module, settings.get("alpha"), "alpha_pattern")
    scale = number({"alpha": alpha}, "alpha") / _positive({"r": rank}, "r")
    return Kronecker(factors[0] * scale, factors[1])


def poly(tensors: AdapterTensors, module: str, settings: Settings) -> LowRank:
    """Return the update of Poly for its one task, (1/r) (AB)ᵀ of the factors that its skills share by their weights.

    Of each split of the inputs and outputs A and B are Σ_s w_s A_s and Σ_s w_s B_s, with w = sigmoid(logits)/Σ
    sigmoid(logits) over the skills.

    Raises:
        CheckpointError: a factor is missing, or they do not fit each other.
    """
    import torch

    A, B = tensors.part(module, "poly_lora_A"), tensors.part(module, "poly_lora_B")
    logits = tensors.part(module, "poly_router.module_logits")
    if A.dim() != 4 or B.dim() != 4 or A.shape[:2] != B.shape[:2] or A.shape[3] != B.shape[2]:
        raise CheckpointError(f"{module}: the factors of Poly do not fit each other; are the adapter's files whole?")
    splits, skills, _, rank = A.shape
    if logits.numel() != splits * skills:
        raise CheckpointError(f"{module}: Poly has {splits * skills} skills, and weights of {logits.numel()}")
    if rank < 1 or settings.get("r") != rank:
        raise CheckpointError(f"{module}: r is {settings.get('r')!r:.40}, and the tensors of Poly have {rank}")
    weights = torch.sigmoid(logits.reshape(splits, skills))
    weights = weights / (weights.sum(dim=1, keepdim=True) + 1e-12)
    inputs = torch.einsum("qs,qsdr->qdr", weights, A).flatten(0, 1)
    outputs = torch.einsum("qs,qsrd->rqd", weights, B).flatten(1)
    return LowRank(outputs.T / rank, inputs.T)


def lokr_rank(tensors: AdapterTensors, module: str) -> int:
    """Return the rank that LoKr allows a module, the product of those of its factors."""
    rank = 1
    for name in ("lokr_w1", "lokr_w2"):
        parts = tensors.modules[module]
        rank *= min(tensors.stored.shape(parts[name] if name in parts else parts[f"{name}_a"]))
    return rank


def vera(tensors: AdapterTensors, module: str, projections: tuple[torch.Tensor, torch.Tensor], width: int) -> LowRank:
    """Return diag(b) B diag(d) A of VeRA.

    Args:
        tensors: of the adapter.
        module: name of the module.
        projections: A, r × (the largest input), and B, (the largest output) × r, which all modules share.
        width: the module's input.
    """
    A, B = projections
    b, d = tensors.part(module, "vera_lambda_b"), tensors.part(module, "vera_lambda_d")
    if len(d) != len(A) or len(b) > len(B) or width > A.shape[1] or b.dim() != 1 or d.dim() != 1:
        raise CheckpointError(f"{module}: the scales of VeRA do not fit the shared projections")
    return LowRank(b[:, None] * B[: len(b)], d[:, None] * A[:, :width])


def vera_projections(settings: Settings, width: int, height: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the random projections A and B of VeRA that an adapter does not store, drawn again from its seed.

    Formula: uniform in ±√(6/fan_in), A first (He et al. 2015), as PEFT draws them on a CPU.

    Args:
        settings: the configuration.
        width: the largest input of its modules.
        height: their largest output.
    """
    import torch

    rank, seed = int(number(settings, "r")), int(number(settings, "projection_prng_key"))
    if not 0 < rank <= max(width, height):
        raise CheckpointError(f"r is {rank} by the adapter's configuration, more than its modules are wide")
    generator = torch.Generator().manual_seed(seed % 2**63)
    drawn = []
    for shape in ((rank, width), (height, rank)):
        bound = math.sqrt(3.0) * (math.sqrt(2) / math.sqrt(shape[1]))
        drawn.append(torch.empty(shape).uniform_(-bound, bound, generator=generator).double())
    return drawn[0], drawn[1]


def column(values: torch.Tensor) -> LowRank:
    """Return a vector, n × 1, as a matrix."""
    import torch

    return LowRank(values, torch.ones(1, 1, dtype=torch.float64))


def _check_product(module: str, left: torch.Tensor, right: torch.Tensor) -> None:
    """Refuse factors that cannot be multiplied.

    Raises:
        CheckpointError: they are such.
    """
    if left.dim() != 2 or right.dim() != 2 or left.shape[1] != right.shape[0] or not left.shape[0] * right.shape[1]:
        shapes = " and ".join(" × ".join(map(str, tensor.shape)) for tensor in (left, right))
        raise CheckpointError(
            f"{module}: its factors are {shapes}, which is no product; are the adapter's files whole?"
        )
