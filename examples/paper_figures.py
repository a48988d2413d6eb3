# %% [markdown]
# Figures 1 to 7 of Godey et al. 2024 (arXiv 2404.07647) on the bundled series, with the published data beside them.
#
# Run it as a script, or cell by cell in an editor that knows `# %%`. It needs the extra `report`; a few minutes on a
# laptop. On Pythia itself: pythia_figures.sh. Of figures 2, 4 and 7 no published numbers are at hand.

# %% Scan the three bundled models: loss (1, 3), anisotropy (2, 3), spectrum (4, 5), restricted heads (6)
import subprocess
import sys

import pandas as pd

import degen
from degen.published import published_table
from degen.saturation import find_saturation

PROBES = ("loss", "anisotropy", "spectrum", "rank")
run = degen.scan(probes=PROBES, options={"rank": {"ranks": (4, 8, 16, 32, 48)}}, tokens=20_000, out="paper-run")

# %% How many dimensions the text needs, kept in the run (7)
subprocess.run([sys.executable, "-m", "degen", "ngram", "--tokens", "20000", "--run", "paper-run"], check=True)

# %% All figures as files in paper-figures, with the numbers of each as CSV; the published curves are those of Pythia
words = ["report", "paper-run", "--figures", "paper-figures", "--paper", "godey2024", "--published"]
subprocess.run([sys.executable, "-m", "degen", *words], check=True)


def numbers(figure: str) -> pd.DataFrame:
    return pd.read_csv(f"paper-figures/figure-{figure}.csv")


def ends(figure: str) -> str:
    rows = numbers(figure).sort_values("step").groupby("model")["value"]
    return pd.DataFrame({"lowest": rows.min(), "last": rows.last()}).round(3).to_string()


# %% Figure 1a: loss over training. Other texts and vocabularies, so levels differ; what is alike is the way up again
print("loss (nats/token)", ends("1a"), sep="\n")

# %% Figure 1b: final losses against the law of the larger models
# The bundled models have one size. With one N the term A/N^alpha is one number, which any alpha gives by some A, and no
# model is larger than another: the demo can show no law and no distance from it. What is drawn is the published figure,
# its law fitted anew to the losses read off figure 1a.
print("parameters of the demo's models:", *sorted(set(run.table("checkpoints")["parameters"].to_pylist())))
law = find_saturation(published_table("pythia_pile_loss")).extrapolation
A, alpha = (law.parameters[name]["value"] for name in ("A", "alpha"))
print(f"the law of Pythia 410M to 12B: A = {A:.2f}, alpha = {alpha:.4f}; in the paper 119.09 and 0.246")
for row in law.rows:
    print(f"{row.model:12} {row.role:9} at the end {row.final_gap:+.1%}, at its best {row.best_gap:+.1%}")
print(f"the four small ones end {law.mean_final_gap:.1%} above it")

# %% Figure 2: anisotropy by depth at the last checkpoint
print(numbers("2").pivot(index="model", columns="layer", values="value").round(3).to_string())

# %% Figure 3: perplexity and anisotropy of the last layer over training
# The published perplexity is that of a word, the demo's that of a token
print("perplexity", ends("3a"), "anisotropy of the last layer", ends("3b"), sep="\n")

# %% Figure 4: the singular values of the head over training, each over the largest: here the median one
for i, model in enumerate(dict.fromkeys(run.table("checkpoints")["model"].to_pylist()), start=1):
    rows = numbers(f"4-{i}")
    middle = rows[rows["rank"] == rows["rank"].max() // 2]
    print(model, dict(zip(middle["checkpoint"], middle["value"].round(3), strict=True)))

# %% Figure 5: the singular entropy of the head (nats): a flat spectrum has 0
print("singular entropy (nats)", ends("5"), sep="\n")

# %% Figure 6: loss against the rank of the head; published: heads that were trained at that rank
print(numbers("6").pivot_table(index="rank", columns=["model", "method"], values="value").round(3).to_string())

# %% Figure 7: what the best approximation of rank d leaves of the text's next-token distributions, beside the heads
print(numbers("7").to_string(max_rows=20))
