from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults.command import python_process

from degen.errors import DegenError
from degen.metrics.columns import texts
from degen.published import published_table
from degen.scaling.points import Points
from degen.scaling.read_points import read_points


def written(folder: Path, text: str, **columns: str) -> Points:
    file = folder / "t.csv"
    file.write_text(text)
    return read_points(file, columns)


def test_columns_are_known_by_their_usual_names(tmp_path: Path) -> None:
    points = written(tmp_path, "Total_Params,tokens_seen,val_loss,Step,name\n10,200,3,7,a\n20,400,2,8,b\n")
    assert (list(points.parameters), list(points.tokens), list(points.loss)) == ([10, 20], [200, 400], [3, 2])
    assert list(points.flops) == [6 * 10 * 200, 6 * 20 * 400]
    assert (points.names, list(points.quantity("steps"))) == (["a", "b"], [7, 8])


def test_single_letters_are_told_by_their_case(tmp_path: Path) -> None:
    points = written(tmp_path, "N,d,D,C,L\n10,1,200,5,3\n")
    assert (points.parameters[0], points.tokens[0], points.flops[0], points.loss[0]) == (10, 200, 5, 3)
    with pytest.raises(DegenError, match="no column of tokens"):
        _ = written(tmp_path, "N,d,L\n10,1,3\n").tokens


@pytest.mark.parametrize(("said", "column"), [("params", "width"), ("N", "width"), ("width", "params")])
def test_other_names_are_mapped_in_either_order(said: str, column: str, tmp_path: Path) -> None:
    points = written(tmp_path, "width,tokens,loss\n10,200,3\n", **{said: column})
    assert points.parameters[0] == 10


def test_tokens_follow_from_flops_and_only_where_they_are_missing(tmp_path: Path) -> None:
    points = written(tmp_path, "params,flops,tokens,loss\n10,600,,3\n10,600,11,3\n")
    assert list(points.tokens) == [10, 11]
    assert list(written(tmp_path, "params,flops,loss\n10,600,3\n").tokens) == [10]
    assert list(written(tmp_path, "params,pf_days,loss\n1e9,2,3\n").flops) == [2 * 8.64e19]


def test_pf_days_that_are_asked_for_go_before_a_column_of_flops(tmp_path: Path) -> None:
    table = "params,flops,used,loss\n1e9,3,2,3\n"
    assert list(written(tmp_path, table).flops) == [3]
    assert list(written(tmp_path, table, pf_days="used").flops) == [2 * 8.64e19]
    with pytest.raises(DegenError, match="keep flops or pf_days"):
        written(tmp_path, table, pf_days="used", flops="flops")


def test_the_points_of_chinchilla() -> None:
    points = read_points(published_table("chinchilla_points"), {})
    assert len(points) == 245
    np.testing.assert_allclose(points.tokens, points.flops / (6 * points.parameters))
    assert points.names[244] == "row 245"
    assert sorted(points.loss)[:240] == sorted(points.without_highest(5).loss)


def test_checkpoints_have_names_and_the_last_of_each_can_be_taken(tmp_path: Path) -> None:
    points = written(tmp_path, "model,step,params,tokens,loss\na,1,10,1,4\na,2,10,2,3\nb,1,20,1,2\n")
    assert points.names == ["a/1", "a/2", "b/1"]
    assert points.is_series
    assert points.final().names == ["a", "b"]
    assert list(points.final().loss) == [3, 2]
    assert not points.final().is_series


def test_sizes_of_one_name_are_several_models(tmp_path: Path) -> None:
    points = written(tmp_path, "architecture,params,loss\nmoe,10,4\nmoe,20,3\n")
    assert not points.is_series
    assert list(points.final().loss) == [4, 3]


def test_rows_that_repeat_others_count_once(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("number,seed,params,loss\n1,1,10,4\n2,1,10,4\n3,2,10,4\n4,2,20,\n5,2,20,\n")
    told: list[str] = []
    points = read_points(tmp_path / "t.csv", {}, told.append)
    assert points.numbers_of_rows == (1, 3, 4)
    assert told == [f"{tmp_path / 't.csv'}: rows left out as they repeat others: 2"]


@pytest.mark.parametrize("column", ["score", "layers", "downstream", "accuracy"])
def test_whole_numbers_that_measure_something_tell_rows_apart(column: str, tmp_path: Path) -> None:
    numbers = (80, 81, 75, 79) if column == "score" else (80, 81, 85, 89)
    rows = "".join(f"{number},a,10,4\n" for number in numbers)
    assert len(written(tmp_path, f"{column},family,params,loss\n{rows}")) == 4


def test_times_in_nanoseconds_need_no_pandas(tmp_path: Path) -> None:
    rows = "2024-01-01T00:00:00.123456789,10,4\n2024-01-01T00:00:01,10,4\n"
    (tmp_path / "t.csv").write_text(f"when,params,loss\n{rows}")
    script = """
import sys
from pathlib import Path
from typing import Any

class Without:
    def find_spec(self, name, *_):
        if name == "pandas":
            raise ImportError(name)

sys.meta_path.insert(0, Without())
from degen.scaling.read_points import read_points
print(len(read_points(Path(sys.argv[1]), {})))
"""
    assert python_process(script, tmp_path / "t.csv").out == "2\n"


def test_names_of_many_rows_read_each_column_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "".join(f"m{i % 50},{i + 1},10,4\n" for i in range(3_000))
    points = written(tmp_path, f"model,step,params,loss\n{rows}")
    reads: list[str] = []

    def counted(table: Any, column: str) -> list[str | None]:
        reads.append(column)
        return texts(table, column)

    monkeypatch.setattr("degen.scaling.points.texts", counted)
    assert len({name for name in points.names for _ in range(2)}) == 3_000
    assert points.names[7] == "m7/8"
    assert reads == ["model"]


def test_models_before_training_are_left_out(tmp_path: Path) -> None:
    rows = "a,0,0,10,11\na,1,64,10,4\na,2,128,10,3\nb,0,,20,11\nb,1,,20,3\nc,0,,30,2\n"
    (tmp_path / "t.csv").write_text(f"model,step,tokens_seen,parameters,loss\n{rows}")
    told: list[str] = []
    points = read_points(tmp_path / "t.csv", {}, told.append)
    assert points.numbers_of_rows == (2, 3, 5, 6)  # c has no other step
    assert told == [f"{tmp_path / 't.csv'}: rows left out as nothing was trained by then (0 tokens or steps): 2"]
    with pytest.raises(DegenError, match="row 1 has tokens 0, not positive"):
        written(tmp_path, "params,tokens,loss\n10,0,3\n").complete("tokens")


def test_copies_and_failures_of_a_run_are_left_out(tmp_path: Path) -> None:
    rows = "a,s1,ok,,3\na,s2,duplicate,s1,3\na,s3,failed,,\nb,s1,ok,,2\n"
    (tmp_path / "t.csv").write_text(f"model,revision,status,duplicate_of,loss\n{rows}")
    told: list[str] = []
    points = read_points(tmp_path / "t.csv", {}, told.append)
    assert points.names == ["a", "b"]
    assert "copies of other revisions (status duplicate): 1" in told[0]


def test_any_column_can_be_taken(tmp_path: Path) -> None:
    points = written(tmp_path, "params,tokens,loss,depth\n10,1,3,\n20,1,2,5\n")
    assert np.isnan(points.numbers("depth")[0])
    with pytest.raises(DegenError, match="no column 'dept'; did you mean 'depth'"):
        points.numbers("dept")
    assert len(points.complete("parameters", "loss")) == 2


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("a,loss\n1,2\n", {}, "no column of parameters .* --columns parameters=COLUMN; there are a, loss"),
        ("params,tokens,loss\n1,2,3\n", {"params": "sizes"}, "no column 'sizes'"),
        ("params,tokens,loss\n1,2,3\n", {"colour": "hue"}, "'colour' is no quantity"),
        ("params,tokens,loss\n1,2,-3\n", {}, "row 1 has loss -3, not positive"),
        ("params,tokens,loss\n0,2,3\n", {}, "row 1 has parameters 0, not positive"),
        ("params,tokens,loss\n,2,3\n", {}, "parameters is known in no row"),
        ("params,tokens,loss\nx,2,3\n", {}, "'params' holds no numbers"),
        ("params,tokens,loss\n1,2,\n1,,3\n", {}, "no row has parameters and tokens and loss at once"),
    ],
)
def test_what_cannot_be_used_is_said(text: str, columns: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(DegenError, match=message):
        written(tmp_path, text, **columns).complete("parameters", "tokens", "loss")
