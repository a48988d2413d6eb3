"""The rolling log-likelihood of documents by lm-eval: python rolling_script.py CHECKPOINT CORPUS.jsonl CONTEXT BATCH.

Prints JSON: the cost of the call, and of each document its log-likelihood and its number of tokens.
"""

import json
import sys
import time
from pathlib import Path

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

checkpoint, corpus, context, batch = sys.argv[1:]
texts = [json.loads(line)["text"] for line in Path(corpus).read_text(encoding="utf-8").splitlines()]
# the token before the first one is lm-eval's own prefix; the tokenizer is not to add a second one
model = HFLM(
    pretrained=checkpoint, device="cpu", dtype="float32", max_length=int(context), batch_size=int(batch),
    add_bos_token=False,
)  # fmt: skip
requests = [
    Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=i) for i, text in enumerate(texts)
]
wall, cpu = time.perf_counter(), time.process_time()
sums = model.loglikelihood_rolling(requests, disable_tqdm=True)
cost = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
tokens = [len(model.tok_encode(text)) for text in texts]
print("\n" + json.dumps({"cost": cost, "sums": sums, "tokens": tokens}))
