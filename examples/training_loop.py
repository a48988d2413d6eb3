# %% [markdown]
# Train a small model and watch it: the rules of `degen gate` against the model in memory, every 20 steps.
#
# It goes on from a bundled checkpoint, on the bundled text, for a minute on a laptop. The learning rate is far too
# high on purpose, so that a rule breaks and the training stops.

# %% A model, its tokenizer and its data
import gzip
import json

from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments, default_data_collator

from degen.callbacks import DegenerationCallback
from degen.demo import corpus_path, series_paths

(series,) = (path for path in series_paths() if path.name == "healthy")
tokenizer = AutoTokenizer.from_pretrained(series)
model = AutoModelForCausalLM.from_pretrained(series / "step500", dtype="float32")
with gzip.open(corpus_path(), "rt", encoding="utf-8") as file:
    texts = [json.loads(line)["text"] for line in file]
ids = [token for text in texts for token in tokenizer(text)["input_ids"]]
pieces = [ids[start : start + 64] for start in range(0, len(ids) - 64, 64)]
dataset = [{"input_ids": piece, "labels": piece} for piece in pieces]

# %% Watch it while it trains
watch = DegenerationCallback(
    corpus="demo",
    tokens=5_000,
    every=20,
    rules=["anisotropy[layer=last] < 0.6", "loss.rise < max(0.02, 1%)"],
    on_violation="stop",
    out="watched-run",
)
arguments = TrainingArguments(
    "saved",
    max_steps=200,
    per_device_train_batch_size=8,
    learning_rate=0.1,
    save_strategy="no",
    report_to=[],
    use_cpu=True,
    dataloader_pin_memory=False,
)
trainer = Trainer(
    model,
    arguments,
    data_collator=default_data_collator,
    train_dataset=dataset,
    processing_class=tokenizer,
    callbacks=[watch],
)
trainer.train()

# %% What was measured stays as a run: degen show watched-run
print("stopped at step", trainer.state.global_step)
