"""The widths that the LM heads of known models see, to be compared with the dimensions that data needs."""

from __future__ import annotations

# Dimensions -> models, from the config.json of each repository: `hidden_size` of Pythia (EleutherAI/pythia-*) and Gemma
# (google/gemma-*), `n_embd` of GPT-2 (openai-community/gpt2*), `hidden_size` of OPT (facebook/opt-*), but
# `word_embed_proj_dim` of opt-350m, whose head sees 512 of 1024 dimensions.
KNOWN_WIDTHS: dict[int, tuple[str, ...]] = {
    128: ("Pythia-14M",),
    256: ("Pythia-31M",),
    512: ("Pythia-70M", "OPT-350M"),
    640: ("Gemma-3-270M",),
    768: ("Pythia-160M", "GPT-2", "OPT-125M"),
    1024: ("Pythia-410M", "GPT-2-medium"),
    1152: ("Gemma-3-1B",),
    1280: ("GPT-2-large",),
    1600: ("GPT-2-XL",),
    2048: ("Pythia-1B", "Pythia-1.4B", "OPT-1.3B", "Gemma-2B"),
    2304: ("Gemma-2-2B",),
    2560: ("Pythia-2.8B", "OPT-2.7B", "Gemma-3-4B"),
    3072: ("Gemma-7B",),
    3584: ("Gemma-2-9B",),
    4096: ("Pythia-6.9B", "OPT-6.7B"),
    4608: ("Gemma-2-27B",),
    5120: ("Pythia-12B", "OPT-13B"),
}
