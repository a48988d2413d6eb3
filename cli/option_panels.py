"""The subjects of options, under which the help of a command shows them."""

from __future__ import annotations

SERIES, TEXT, PASS, RUN = "Series", "Text", "Pass", "Run"

# of each panel of `degen scan --help` and its kin
PANEL_EXAMPLES = {
    SERIES: "{command} pythia:70m,160m --steps log:20",
    TEXT: "{command} runs/my-model --corpus texts/ --tokens 100000",
    PASS: "{command} runs/my-model --device cuda --dtype bfloat16",
    RUN: "{command} runs/my-model -o my-run",
}
