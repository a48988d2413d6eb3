"""Peak memory of counting n-grams against tokens, and the time of exact and estimated W-error by size (Linux)."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

COUNT = """
import resource, sys, time
import numpy as np
from degen.demo import series_paths
from degen.ngram import counting, token_file
from degen.ngram.counting import NgramKeys, count_next_tokens, sample_contexts
from degen.text.open_corpus import open_corpus
from degen.text.tokenizer import Tokenizer
from degen.text.windows import Window, every_window

corpus, tokens, order, tokenizer = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
def random_windows(tokens):
    rng = np.random.default_rng(0)
    for number in range(tokens // 1000):
        yield Window(number, number, None, 0, 0, rng.zipf(1.3, 1000).clip(max=50_000).astype(np.int32) - 1)

begun = time.monotonic()
opened = None if tokenizer == "none" else Tokenizer(tokenizer if tokenizer != "demo" else series_paths()[0])
with token_file.TokenFile() as file:
    windows = every_window(open_corpus(corpus), opened, tokens, 1 << 16, 0, lambda: None) if opened else None
    file.write(windows or random_windows(tokens))
    read = time.monotonic() - begun
    ngrams, passes = NgramKeys(order, max(opened.ids) + 1 if opened else 50_000, 0), []
    sample = sample_contexts(file, ngrams, 20_000, 2, lambda: passes.append(1))
    counts = count_next_tokens(file, ngrams, sample)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(file.tokens, peak, read, time.monotonic() - begun - read, len(passes), len(sample.keys), sample.eligible)
"""


def write_text(path: Path, tokens: int, seed: int = 0) -> None:
    """Write documents of about a thousand words each, drawn by Zipf's law, of at least so many tokens together."""
    rng = np.random.default_rng(seed)
    letters = np.asarray(list("etaoinshrdlucmwfgypbvk"))
    words = np.asarray(["".join(rng.choice(letters, size=rng.integers(2, 10))) for _ in range(30_000)])
    with path.open("w", encoding="utf-8") as file:
        for _ in range(tokens // 1000):
            chosen = words[np.minimum(rng.zipf(1.2, 1000), len(words)) - 1]
            file.write(json.dumps({"text": " ".join(chosen)}) + "\n")


def count(corpus: Path, tokens: int, order: int, tokenizer: str) -> float:
    """Print what counting takes in a process of its own, and return its peak memory in MB."""
    command = [sys.executable, "-c", COUNT, str(corpus), str(tokens), str(order), tokenizer]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    read, peak, reading, counting, passes, contexts, eligible = (float(word) for word in done.stdout.split())
    print(
        f"  {read:,.0f} tokens, order {order}: peak {peak:.0f} MB, {reading:.0f} s to read and tokenise, "
        f"{counting:.0f} s to count in {passes:.0f} passes; {contexts:,.0f} of {eligible:,.0f} contexts",
        flush=True,
    )
    return peak


def time_curve(contexts: int, vocabulary: int, seed: int = 0) -> None:
    """Print how long the curve of a random matrix takes, of about twelve tokens a context by Zipf's law."""
    from degen.ngram.counting import NextTokens
    from degen.ngram.estimate import estimated_curve
    from degen.ngram.matrix import split
    from degen.ngram.measure import EXACT_SIDE
    from degen.ngram.w_error import exact_curve

    rng = np.random.default_rng(seed)
    shares = np.arange(1, vocabulary + 1) ** -0.7
    row = np.repeat(np.arange(contexts), 12)
    token = rng.choice(vocabulary, len(row), p=shares / shares.sum())
    pairs, counts = np.unique(row * vocabulary + token, return_counts=True)
    row, token = np.divmod(pairs, vocabulary)
    begun = time.monotonic()
    parts = split(NextTokens(row, token, counts, contexts, vocabulary), weighted=False)
    exact = parts.smaller_side <= EXACT_SIDE
    curve = exact_curve(parts) if exact else estimated_curve(parts, EXACT_SIDE, seed)
    levels = ", ".join(f"d at {level} = {curve.dimension(level)}" for level in (0.5, 0.1))
    print(
        f"  {contexts:,} contexts × {vocabulary:,}, smaller side {parts.smaller_side:,}, "
        f"{'exact' if exact else 'estimated'}: {time.monotonic() - begun:.0f} s; {levels}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, nargs="*", default=[10_000_000, 50_000_000], help="sizes to count")
    parser.add_argument("--contexts", type=int, nargs="*", default=[2_000, 8_000, 20_000], help="rows of the matrix")
    parser.add_argument("--vocabulary", type=int, default=50_000)
    parser.add_argument("--order", type=int, default=5)
    parser.add_argument("--corpus", type=Path, help="text to count; else words drawn by Zipf's law")
    parser.add_argument("--tokenizer", default="demo", help="or none: random ids instead of text, nothing to tokenise")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = arguments.corpus or Path(folder) / "words.jsonl"
        if arguments.tokens and arguments.corpus is None and arguments.tokenizer != "none":
            write_text(corpus, max(arguments.tokens))
        peaks = [count(corpus, tokens, arguments.order, arguments.tokenizer) for tokens in arguments.tokens]
    if len(peaks) > 1:
        print(f"largest less smallest: {peaks[-1] - peaks[0]:+.0f} MB at the peak")
    for contexts in arguments.contexts:
        time_curve(contexts, arguments.vocabulary)


if __name__ == "__main__":
    main()
