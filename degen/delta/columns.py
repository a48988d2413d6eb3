"""The columns of tables `delta` and `delta_spectrum`."""

from __future__ import annotations

from degen.tables import Column, Metric

DELTA = "delta"
DELTA_SPECTRUM = "delta_spectrum"

COLUMNS = (
    Column("module", "string", "", "the changed parameter, `.weight` left out; or what is added", key=True),
    Column("kind", "string", "", "kind of the update: lora, dora, ia3, prefix_tuning, modules_to_save, bias, full, …"),
    Column("taxonomy", "string", "", "addition, specification or reparameterization (Ding et al. 2023); full"),
    Column("block", "int64", "", "number of the block that it is in, from 0; null outside the blocks"),
    Column("part", "string", "", "head, embedding, block or other"),
    Column("rows", "int64", "dimensions", "rows n of ΔW, its output"),
    Column("columns", "int64", "dimensions", "columns m of ΔW, its input; 1 for a vector"),
    Column("trained", "int64", "parameters", "parameters trained for it"),
    Column("trained_share", "float64", "", "trained / all parameters of the base; null without a base"),
    Column("rank_given", "int64", "dimensions", "the rank that its kind allows; null where it sets no bound"),
    Column("rank", "int64", "dimensions", "numerical rank: singular values above the rounding of the stored numbers"),
    Column("effective_rank", "float64", "", "exp(H(p)), p = σ/Σσ, of ΔW"),
    Column("stable_rank", "float64", "", "Σσ²/σ₁² of ΔW"),
    Column("k90", "int64", "dimensions", "least k whose leading singular values hold 90 % of Σσ²"),
    Column("norm", "float64", "", "‖ΔW‖_F"),
    Column("spectral_norm", "float64", "", "σ₁ of ΔW"),
    Column("base_norm", "float64", "", "‖W‖_F; null without a base"),
    Column("relative_norm", "float64", "", "‖ΔW‖_F / ‖W‖_F"),
    Column("leading", "int64", "dimensions", "k, leading directions that are compared with W's: min(k90, 16)"),
    Column("overlap_output", "float64", "", "‖U_Δᵀ U_W‖²_F / k, of leading left singular vectors: 0 apart, 1 the same"),
    Column("overlap_input", "float64", "", "the same of the right singular vectors"),
    Column("amplification", "float64", "", "‖ΔW‖_F / ‖U_Δᵀ W V_Δ‖_F, both in ΔW's k leading directions"),
    Column("intruders", "int64", "", "of the 10 leading left singular vectors of W + ΔW, those unlike all of W's"),
    Column("intruder_similarity", "float64", "", "the smallest max |cos| of these with W's; below 0.5 is an intruder"),
    Column("total_trained", "int64", "parameters", "trained parameters of the whole adapter or fine-tune"),
    Column("total_share", "float64", "", "total_trained / all parameters of the base"),
    Column("head_touched", "bool", "", "whether the adapter changes the LM head, as with a tied embedding"),
    Column("embedding_touched", "bool", "", "whether it changes the input embedding"),
    Column("reason", "string", "", "why a figure is missing; null where none is"),
)

# Columns that are of the whole adapter or fine-tune, and so the same in all of its rows.
WHOLE = ("total_trained", "total_share", "head_touched", "embedding_touched")

SPECTRUM_COLUMNS = (
    Column("module", "string", "", "as in table `delta`", key=True),
    Column("index", "int64", "", "0 for the largest singular value", key=True),
    Column("singular_value", "float64", "", "singular value of ΔW; those of rank 0 in a product are left out"),
)

METRICS = (
    Metric(
        ("trained_share", "trained", "rows", "columns", "block", "total_trained", "total_share"),
        formula="trained parameters / all parameters of the base",
        source="Ding et al. 2023, Parameter-efficient fine-tuning of large-scale pre-trained language models",
        range="0 to 1",
        high="much of the model was trained",
        low="little of it was",
        clashes="share of the trained module alone",
    ),
    Metric(
        ("rank", "rank_given", "delta_rank"),
        formula="number of σ of ΔW above the rounding of the stored numbers",
        source="Golub and Van Loan, Matrix Computations, 5.4.1",
        range="0 to min(n, m), or to the rank that the adapter allows",
        high="the update uses all dimensions it was given",
        low="it uses few",
        clashes="rank_given, which is the bound; effective_rank and stable_rank, which weigh",
    ),
    Metric(
        ("effective_rank", "delta_dimension"),
        formula="exp(H(p)), p = σ/Σσ, of ΔW",
        source="Roy and Vetterli 2007",
        range="1 to min(n, m)",
        high="the update spreads over many directions",
        low="few directions carry it",
        clashes="the same of eigenvalues σ²; the numerical rank",
    ),
    Metric(
        ("stable_rank",),
        formula="Σσ²/σ₁² of ΔW",
        source="Rudelson and Vershynin 2007",
        range="1 to min(n, m)",
        high="no direction stands out",
        low="one direction holds most of the update",
        clashes="numerical rank",
    ),
    Metric(
        ("k90",),
        formula="least k with Σ_{i≤k} σᵢ² ≥ 0.9 Σσ²",
        source="Jolliffe 2002, Principal Component Analysis, 6.1.1",
        range="1 to min(n, m); 0 for no update",
        high="the update spreads over many directions",
        low="few directions carry it",
        clashes="the same of σ instead of σ²",
    ),
    Metric(
        ("relative_norm", "norm", "spectral_norm", "base_norm", "delta_relative_norm"),
        formula="‖ΔW‖_F / ‖W‖_F; spectral_norm is σ₁ of ΔW",
        source="Hu et al. 2021 (arXiv 2106.09685), section 7",
        range="0 to infinity",
        high="the update is large beside what it changes",
        low="it is small",
        clashes="the same of spectral norms",
    ),
    Metric(
        ("overlap_output", "overlap_input", "leading"),
        formula="φ = ‖U_Δᵀ U_W‖²_F/k of the k = min(k90, 16) leading left (output) or right (input) vectors",
        source="Hu et al. 2021 (arXiv 2106.09685), section 7",
        range="0 to 1; k/n for two random subspaces",
        high="the update lies in W's leading directions",
        low="it lies elsewhere",
        clashes="principal angles; 1 − φ, projection distance",
    ),
    Metric(
        ("amplification",),
        formula="‖ΔW‖_F / ‖U_Δᵀ W V_Δ‖_F, both in ΔW's k leading directions",
        source="Hu et al. 2021 (arXiv 2106.09685), section 7.3",
        range="0 to infinity",
        high="the update adds to directions that W hardly uses",
        low="it adds to what W does already",
        clashes="relative_norm, which is of all directions",
    ),
    Metric(
        ("intruders", "intruder_similarity", "delta_intruders"),
        formula="of the 10 leading left singular vectors of W + ΔW, those with max |cos| < 0.5 to W's",
        source="Shuttleworth et al. 2024 (arXiv 2410.21228)",
        range="0 to 10 a module",
        high="the update brings leading directions that W does not have",
        low="it turns and stretches those that W has",
        clashes="counts with another threshold or another number of vectors",
    ),
    Metric(
        ("singular_value",),
        formula="σᵢ of ΔW, descending",
        source="Golub and Van Loan, Matrix Computations, 8.6",
        range="0 to infinity",
        high="a direction that the update moves much",
        low="a direction that it hardly moves",
        clashes="singular values of W + ΔW",
    ),
)
