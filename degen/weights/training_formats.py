"""Checkpoints in the formats of training libraries, which cannot be read as they are: what each is, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_SAVE = "load it in your own code and write it with save_pretrained"


@dataclass(frozen=True)
class TrainingFormat:
    """A format that is recognised by its files.

    Attributes:
        name: what it is, as in `a checkpoint of DeepSpeed`.
        files: patterns of which one matches, relative to the folder of the checkpoint or of the training.
        next_step: how it becomes a folder that can be read.
    """

    name: str
    files: tuple[str, ...]
    next_step: str


# The more telling first: a DeepSpeed folder holds .pt files, too.
FORMATS = (
    TrainingFormat(
        "a checkpoint of DeepSpeed",
        ("zero_to_fp32.py", "*zero_pp_rank_*.pt", "mp_rank_*_model_states.pt", "*/*zero_pp_rank_*.pt",
         "*/mp_rank_*_model_states.pt"),
        "its own script joins the parts: `python zero_to_fp32.py --safe_serialization . OUT`; put the model's "
        "config.json and tokenizer into OUT",
    ),
    TrainingFormat(
        "a checkpoint of Megatron-LM",
        ("latest_checkpointed_iteration.txt", "mp_rank_*/model_optim_rng.pt", "*/mp_rank_*/model_optim_rng.pt"),
        "Megatron Bridge writes it as transformers has it: AutoBridge.from_hf_pretrained('ORG/MODEL').export_ckpt("
        "'FOLDER', 'OUT')",
    ),
    TrainingFormat(
        "a checkpoint of litgpt", ("lit_model.pth", "*/lit_model.pth"),
        "`litgpt convert_from_litgpt FOLDER OUT`; put the model's config.json and tokenizer into OUT",
    ),
    TrainingFormat(
        "a checkpoint of JAX (Orbax, T5X)",
        ("_CHECKPOINT_METADATA", "_METADATA", "*/_METADATA", "*/_CHECKPOINT_METADATA"),
        "orbax.checkpoint.StandardCheckpointer().restore('FOLDER') gives its arrays; put them into the model of "
        "transformers and write that with save_pretrained",
    ),
    TrainingFormat(
        "weights of MLX", ("weights.npz", "weights.*.safetensors"),
        "`mlx_lm.convert --hf-path FOLDER --mlx-path OUT -d` writes safetensors that are not quantised; scan OUT",
    ),
    TrainingFormat("weights of Flax", ("flax_model*.msgpack",),
                   "transformers 4 reads them with from_flax=True; " + _SAVE),
    TrainingFormat("weights of TensorFlow", ("tf_model*.h5", "*.ckpt.index"),
                   "transformers 4 reads them with from_tf=True; " + _SAVE),
    TrainingFormat("weights of ONNX", ("*.onnx", "onnx/*.onnx"), "scan the checkpoint that they were exported from"),
)  # fmt: skip


def find_training_format(path: Path) -> TrainingFormat | None:
    """Return the format that a file or a folder is in; None for one that is unknown."""
    if path.is_file():
        return next((f for f in FORMATS if any(path.match(pattern) for pattern in f.files)), None)
    return next((f for f in FORMATS if any(_holds(path, pattern) for pattern in f.files)), None)


def format_hint(path: Path) -> str:
    """Return a text to follow an error, on what a path is and how it can be read; empty where that is unknown."""
    known = find_training_format(path)
    return f"; it is {known.name}: {known.next_step}" if known is not None else ""


def _holds(folder: Path, pattern: str) -> bool:
    try:
        return any(file.name != "training_args.bin" for file in folder.glob(pattern))
    except OSError:
        return False
