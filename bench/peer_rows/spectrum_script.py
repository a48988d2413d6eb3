"""Singular values of a head in memory, by one of several: python spectrum_script.py KIND HEAD.npy THREADS.

KIND is degen, weightwatcher, diffract or svd: each imports its own library alone, so that it runs in an environment of
its own. What a library does on its first call is done beforehand, on a small matrix. Prints JSON: the cost of the call,
the figures, and with svd all singular values, of float64.
"""

import json
import sys
import time

import numpy as np

kind, file, threads = sys.argv[1:]
W = np.load(file)
small = W[: 4 * W.shape[1]]


def degen(matrix):
    import torch
    from degen.probes.spectrum import Spectrum

    from degen.model.lm_head import Head
    from degen.weights.open_weights import LoadedTensors

    torch.set_num_threads(int(threads))
    rows = Spectrum().measure(Head(LoadedTensors({"head": torch.from_numpy(matrix)}), "head", None))
    return {"values": [row["singular_value"] for row in rows["spectrum"]]} | rows["checkpoints"][0]


def weightwatcher(matrix):
    import torch
    import weightwatcher as ww

    model = torch.nn.Module()
    model.lm_head = torch.nn.Linear(matrix.shape[1], matrix.shape[0], bias=False, device="meta")
    model.lm_head.weight = torch.nn.Parameter(torch.from_numpy(matrix))
    row = (
        ww.WeightWatcher(model=model).analyze(max_N=max(len(matrix), 50_000) + 1).iloc[0]
    )  # by default, no more than 50,000 rows
    return {"largest": float(row.sv_max), "smallest": float(row.sv_min), "stable_rank": float(row.stable_rank)}


def diffract(matrix):
    from diffract import Session

    with Session(profile="ram") as session:
        session.models.add({"lm_head.weight": matrix}, model_id="head")
        session.compute.apply("effective_rank", "stable_rank", "max_weights_sval")
        fields = session.results.export_metrics("stable_rank", "max_weights_sval", export_format="dict")
    (layer,) = fields.values()
    return {"largest": float(layer["fields"]["max_weights_sval"]), "stable_rank": layer["fields"]["stable_rank"]}


def svd(matrix):
    return {"values": np.linalg.svd(matrix.astype(np.float64), compute_uv=False).tolist()}


measure = {"degen": degen, "weightwatcher": weightwatcher, "diffract": diffract, "svd": svd}[kind]
measure(small)
wall, cpu = time.perf_counter(), time.process_time()
figures = measure(W)
cost = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
print("\n" + json.dumps({"cost": cost, "figures": figures}))
