#!/bin/sh
# Figures 1 to 7 of arXiv 2404.07647 on Pythia from the hub, a command a figure.
#
# As it stands each scan prints what it would read and compute, and does nothing: the cost is stated first.
# DRY= sh examples/pythia_figures.sh      scans for good; each run goes on where it was interrupted
# Needs the extras hub and report.
set -e
DRY=${DRY---dry-run}
SMALL=pythia:14m,31m,70m,160m,410m

# Figures 1a, 3a: loss and perplexity over training; 1b: against the law of the larger models
degen scan "$SMALL" pythia:1b,1.4b --steps log:20 --corpus pile --probes loss -o pythia-loss $DRY
# Figure 2: anisotropy by depth at the last checkpoints
degen scan "$SMALL" --steps 143000 --corpus wikitext --probes anisotropy -o pythia-depth $DRY
# Figure 3b: anisotropy of the last layer over training
degen scan "$SMALL" --steps log:20 --corpus wikitext --probes loss,anisotropy -o pythia-anisotropy $DRY
# Figures 4 and 5: the spectrum of the head, by byte ranges and without a pass
degen scan "$SMALL" --steps log:20 --probes spectrum -o pythia-heads $DRY
# Figure 6: loss against the rank of the head
degen scan pythia:410m,1b,1.4b --steps 143000 --corpus pile --probes loss,rank \
  --probe-option rank.ranks=32,64,128,256,512,1024 -o pythia-ranks $DRY
test -n "$DRY" && exit
# Figure 7: dimensions of the text, beside the heads
degen ngram pile --tokenizer EleutherAI/pythia-160m --run pythia-heads
for run in pythia-loss pythia-depth pythia-anisotropy pythia-heads pythia-ranks; do
  degen report "$run" --figures "$run-figures" --paper godey2024 --published
done
