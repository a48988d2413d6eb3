"""The columns of tables `delta` and `delta_spectrum`."""

from __future__ import annotations

from degen.tables import Column

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
