"""What the report of a frontier says of the columns that it was made from."""

from __future__ import annotations

from pathlib import Path

from degen.scaling.architectures.options import CompareOptions
from degen.scaling.architectures.pareto_report import find_pareto
from degen.scaling.read_points import read_points

ROWS = ("a,1e6,2e15,3.5,4.0,5", "b,3e6,6e15,9.5,3.5,6", "c,1e7,2e16,30,3.2,7")


def test_costs_are_named_by_the_columns_that_they_were_read_from(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["name,n_params,train_flops,seconds,loss,price", *ROWS]) + "\n")
    points = read_points(path, {"params": "n_params", "flops": "train_flops"})
    columns = dict(find_pareto(points, CompareOptions()).source.columns)
    assert (columns["parameters"], columns["flops"]) == ("n_params", "train_flops")
    assert columns["seconds"] == "seconds"
    priced = dict(find_pareto(points, CompareOptions(), costs=["price"], qualities=["loss"]).source.columns)
    assert priced["cost price"] == "price"
    assert priced["quality"] == "loss"
    assert "flops" not in priced
