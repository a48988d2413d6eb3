# %% [markdown]
# Figures 1 to 7 of Godey et al. 2024 (arXiv 2404.07647) on the bundled series, with the published data beside them.
#
# Run it as a script, or cell by cell in an editor that knows `# %%`. It needs the extra `report`; a few minutes on a
# laptop. On Pythia itself: pythia_figures.sh.

# %% Scan the three bundled models: loss (1, 3), anisotropy (2, 3), spectrum (4, 5), restricted heads (6)
import subprocess
import sys
from pathlib import Path

import degen

PROBES = ("loss", "anisotropy", "spectrum", "rank")
run = degen.scan(probes=PROBES, options={"rank": {"ranks": (4, 8, 16, 32, 48)}}, tokens=20_000, out="paper-run")
print(run.table("checkpoints").to_pandas()[["model", "step", "loss", "anisotropy", "singular_entropy"]])

# %% Figure 7: how many dimensions the text needs, beside the heads of the run
subprocess.run([sys.executable, "-m", "degen", "ngram", "--tokens", "20000", "--run", "paper-run"], check=True)

# %% All figures as files, with the numbers of each as CSV; the published curves are those of Pythia
words = ["report", "paper-run", "--figures", "paper-figures", "--paper", "godey2024", "--published"]
subprocess.run([sys.executable, "-m", "degen", *words], check=True)
# Figure 1b compares losses with a law of larger models; the bundled ones are all of one size, so it is not drawn.

# %% Figure 5 as numbers: the demo beside what the paper shows of Pythia
import pandas as pd  # noqa: E402

from degen.published import published_table  # noqa: E402

entropies = pd.read_csv(published_table("pythia_head_singular_entropy"))
last = entropies.sort_values("step").groupby("model").last()
print("published, at the last step (nats):", last["kl_sigma2_nats"].to_dict(), sep="\n")
ours = run.table("checkpoints").to_pandas().sort_values("step").groupby("model").last()
print("the demo, at the last step (nats):", ours["singular_entropy"].round(3).to_dict(), sep="\n")
print(*sorted(file.name for file in Path("paper-figures").glob("*.svg")))
