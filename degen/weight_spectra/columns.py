"""The columns of table `weights`, and what they mean."""

from __future__ import annotations

from degen.tables import Column, Metric

WEIGHTS = "weights"

COLUMNS = (
    Column("tensor", "string", "", "name of the tensor in the files", key=True),
    Column("part", "string", "", "which matrix of it: q, k, v, gate, up, expert 0 …; empty for the whole", key=True),
    Column("kind", "string", "", "attention_q, …_k, …_v, …_output, mlp_gate, …_up, …_down, router, embedding, head, …"),
    Column("layer", "int64", "", "the block that it is in, from 1; null outside the blocks"),
    Column("rows", "int64", "dimensions", "rows as stored"),
    Column("columns", "int64", "dimensions", "columns as stored"),
    Column("stable_rank", "float64", "dimensions", "Σσ²/σ₁²"),
    Column("effective_rank", "float64", "dimensions", "exp(H(p)), p = σ/Σσ"),
    Column("singular_entropy", "float64", "nats", "KL(p‖uniform), p = σ²/Σσ²: 0 flat, ln n one direction"),
    Column("singular_entropy_share", "float64", "", "singular_entropy / ln n, n = min(rows, columns)"),
    Column("spectral_norm", "float64", "", "σ₁"),
    Column("max_over_q99", "float64", "", "max|w| / the 0.99 quantile of |w|"),
    Column("tail_exponent", "float64", "", "α of the density λ^(−α) fitted to the tail of the eigenvalues λ = σ²"),
    Column("tail_count", "int64", "", "eigenvalues in that tail"),
    Column("reason", "string", "", "why a figure is missing or not to be trusted; null where nothing is"),
)

METRICS = (
    Metric(
        ("stable_rank", "weights_stable_rank", "rows", "columns", "layer"),
        formula="Σσ²/σ₁²",
        source="Rudelson and Vershynin 2007",
        range="1 to min(rows, columns)",
        high="the energy is spread over many directions; n/(1 + √(n/m))² for a Gaussian n × m",
        low="one direction holds most of it",
        clashes="stable_rank of table checkpoints is that of the LM head's used rows alone",
    ),
    Metric(
        ("effective_rank",),
        formula="exp(H(p)), p = σ/Σσ",
        source="Roy and Vetterli 2007",
        range="1 to min(rows, columns)",
        high="a flat spectrum",
        low="few directions",
        clashes="later work takes p = σ²/Σσ², or eigenvalues of a covariance",
    ),
    Metric(
        ("singular_entropy", "singular_entropy_share"),
        formula="ln n − H(p), p = σ²/Σσ²; the share is that over ln n",
        source="Godey et al. 2024 (arXiv 2404.07647), there of the LM head",
        range="0 to ln n; the share 0 to 1",
        high="one direction",
        low="a flat spectrum; about n/2m for a Gaussian n × m, n ≪ m",
        clashes="SVD entropy of other papers is H(p) itself, or H(p)/ln n: 1 for a flat spectrum",
    ),
    Metric(
        ("spectral_norm",),
        formula="σ₁",
        source="Golub and Van Loan, Matrix Computations",
        range="0 to infinity",
        high="the matrix may stretch a vector by so much",
        low="it stretches none by more",
        clashes="none known",
    ),
    Metric(
        ("max_over_q99",),
        formula="max|w| / 0.99 quantile of |w|, linear between entries",
        source="degen",
        range="1 to infinity",
        high="outlier weights, which quantisation loses; about √(2 ln nm)/2.58 for a Gaussian",
        low="no outliers",
        clashes="kurtosis of weights, which is moved by all of them",
    ),
    Metric(
        ("tail_exponent", "tail_count", "weights_tail_exponent"),
        formula="α = 1 + k/Σ ln(λᵢ/λ_min) over the k largest λ = σ², λ_min by Kolmogorov–Smirnov",
        source="Clauset et al. 2009; Martin and Mahoney 2021, JMLR 22, who call it alpha",
        range="1 to infinity",
        high="a light tail, as a random matrix has one",
        low="a heavy tail: 2 to 4 in well-trained layers, as those authors report",
        clashes="the exponent of σ itself is 2α − 1; the decay of ranked eigenvalues (α-ReQ) is 1/(α − 1)",
    ),
)
