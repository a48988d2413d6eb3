"""What the tests of the documents do not run as it stands, each with its reason. Nothing else is left out."""

from __future__ import annotations

# A command, as a regular expression -> why it is not run.
NOT_RUN = {
    r"hf auth login": "asks for a token at the terminal; the client of these tests has one",
    r"make (demo|test)": "make test is what runs these tests, and make demo takes minutes; make -n knows both",
    r"(python -m )?pip install .*": "asks an index; what it names is looked up in pyproject.toml",
    r"python examples/paper_figures\.py": "test_examples runs it, on less text",
    r"python bench/rank_intervals\.py": "takes minutes",
    r"python bench/accelerator\.py -o results\.json": "needs an accelerator; test_accelerator runs it with --tiny",
    r"degen scan .* --engine ray( --workers 4)?": "needs the extra ray: run by `make extras`",
    r"degen scan .* --engine ray --ray-address auto": "needs a cluster; test_ray_engine starts one in `make extras`",
}

# A block of a page, by its language -> why it is not run.
BLOCKS_NOT_RUN = {
    ("docs/reading.md", "r"): "R with arrow and dplyr is not among what make sets up",
}

# A command in a sentence of a page -> why it is not run. Those of degen in docs/questions.md are.
SENTENCES_NOT_RUN = {
    "docker build --build-arg BASE=python:3.12-slim -t degen .": "no Docker; tests/repository runs the file's commands",
    "sbatch scan.sbatch": "no Slurm; test_scale_out runs the script with a stand-in for sbatch",
    "sbatch --array=3,7 scan.sbatch": "no Slurm; test_scale_out runs a part of the array so",
    "parallel -j 4 'CUDA_VISIBLE_DEVICES=$(({%} - 1)) degen scan pythia:1b -o pythia-1b --shard {}/64' ::: $(seq 64)": (
        "no GNU parallel; the block above it, with xargs, is run"
    ),
}

# Words of a command -> what stands in their place, the longer first.
STAND_INS = {
    "s3://bucket": "file://{folder}/bucket",  # a store is reached by fsspec, whatever its kind
    "wandb:project=degeneration": "tensorboard:runs/tracked",  # wandb itself: `make extras`
    "--train-tokens 1000000": "--train-tokens 2000",
    "--train-tokens 100000": "--train-tokens 2000",
}
