from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults.command import python_process

from degen.errors import DegenError
from degen.published import published_table
from degen.readers.columns import texts
from degen.scaling.points import Points
from degen.scaling.read_points import read_points


def read_text(folder: Path, text: str, **columns: str) -> Points:
    """Points of a table that is given as the text of a CSV file."""
    file = folder / "t.csv"
    file.write_text(text)
    return read_points(file, columns)


def test_usual_names_of_columns_are_recognised(tmp_path: Path) -> None:
    points = read_text(tmp_path, "Total_Params,tokens_seen,val_loss,Step,name\n10,200,3,7,a\n20,400,2,8,b\n")
    assert (list(points.parameters), list(points.tokens), list(points.loss)) == ([10, 20], [200, 400], [3, 2])
    assert list(points.flops) == [6 * 10 * 200, 6 * 20 * 400]
    assert (points.names, list(points.quantity("steps"))) == (["a", "b"], [7, 8])


def test_single_letter_columns_are_matched_by_case(tmp_path: Path) -> None:
    points = read_text(tmp_path, "N,d,D,C,L\n10,1,200,5,3\n")
    assert (points.parameters[0], points.tokens[0], points.flops[0], points.loss[0]) == (10, 200, 5, 3)
    with pytest.raises(DegenError, match="no column of tokens"):
        _ = read_text(tmp_path, "N,d,L\n10,1,3\n").tokens


@pytest.mark.parametrize(("left", "right"), [("params", "width"), ("N", "width"), ("width", "params")])
def test_column_names_are_mapped_in_either_order(left: str, right: str, tmp_path: Path) -> None:
    points = read_text(tmp_path, "width,tokens,loss\n10,200,3\n", **{left: right})
    assert points.parameters[0] == 10


def test_missing_tokens_follow_from_flops(tmp_path: Path) -> None:
    points = read_text(tmp_path, "params,flops,tokens,loss\n10,600,,3\n10,600,11,3\n")
    assert list(points.tokens) == [10, 11]
    assert list(read_text(tmp_path, "params,flops,loss\n10,600,3\n").tokens) == [10]
    assert list(read_text(tmp_path, "params,pf_days,loss\n1e9,2,3\n").flops) == [2 * 8.64e19]


def test_named_pf_days_go_before_a_column_of_flops(tmp_path: Path) -> None:
    table = "params,flops,used,loss\n1e9,3,2,3\n"
    assert list(read_text(tmp_path, table).flops) == [3]
    assert list(read_text(tmp_path, table, pf_days="used").flops) == [2 * 8.64e19]
    with pytest.raises(DegenError, match="are both compute; keep one of them"):
        read_text(tmp_path, table, pf_days="used", flops="flops")


def test_points_of_chinchilla_have_tokens_from_6nd() -> None:
    points = read_points(published_table("chinchilla_points"), {})
    assert len(points) == 245
    np.testing.assert_allclose(points.tokens, points.flops / (6 * points.parameters))
    assert points.names[244] == "row 245"
    assert sorted(points.loss)[:240] == sorted(points.without_highest(5).loss)


def test_final_takes_the_last_checkpoint_of_each_model(tmp_path: Path) -> None:
    points = read_text(tmp_path, "model,step,params,tokens,loss\na,1,10,1,4\na,2,10,2,3\nb,1,20,1,2\n")
    assert points.names == ["a/1", "a/2", "b/1"]
    assert points.is_series
    assert points.final().names == ["a", "b"]
    assert list(points.final().loss) == [3, 2]
    assert not points.final().is_series


def test_sizes_of_one_name_count_as_several_models(tmp_path: Path) -> None:
    points = read_text(tmp_path, "architecture,params,loss\nmoe,10,4\nmoe,20,3\n")
    assert not points.is_series
    assert list(points.final().loss) == [4, 3]


def test_repeated_rows_count_once(tmp_path: Path) -> None:
    points = read_text(tmp_path, "number,seed,params,loss\n1,1,1e8,4\n2,1,1e8,4\n3,2,1e8,4\n4,2,2e8,\n5,2,2e8,\n")
    assert points.row_numbers == (1, 3, 4)
    assert points.left_out == ("2 rows that repeat other rows",)


@pytest.mark.parametrize("column", ["score", "layers", "downstream", "accuracy"])
def test_integer_columns_of_measurements_distinguish_rows(column: str, tmp_path: Path) -> None:
    numbers = (80, 81, 75, 79) if column == "score" else (80, 81, 85, 89)
    rows = "".join(f"{number},a,10,4\n" for number in numbers)
    assert len(read_text(tmp_path, f"{column},family,params,loss\n{rows}")) == 4


def test_table_with_times_in_nanoseconds_is_read_without_pandas(tmp_path: Path) -> None:
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
    points = read_text(tmp_path, f"model,step,params,loss\n{rows}")
    reads: list[str] = []

    def counted(table: Any, column: str) -> list[str | None]:
        reads.append(column)
        return texts(table, column)

    monkeypatch.setattr("degen.scaling.points.texts", counted)
    assert len({name for name in points.names for _ in range(2)}) == 3_000
    assert points.names[7] == "m7/8"
    assert reads == ["model"]


def test_rows_before_training_are_left_out(tmp_path: Path) -> None:
    rows = "a,0,0,10,11\na,1,64,10,4\na,2,128,10,3\nb,0,,20,11\nb,1,,20,3\nc,0,,30,2\n"
    points = read_text(tmp_path, f"model,step,tokens_seen,parameters,loss\n{rows}")
    assert points.row_numbers == (2, 3, 5, 6)  # c has no other step
    assert points.left_out == ("2 rows of models before training (0 tokens or steps)",)
    with pytest.raises(DegenError, match="row 1 has tokens 0, which must be positive"):
        read_text(tmp_path, "params,tokens,loss\n10,0,3\n").complete("tokens")


def test_duplicate_and_failed_checkpoints_are_left_out(tmp_path: Path) -> None:
    rows = "a,s1,ok,,3\na,s2,duplicate,s1,3\na,s3,failed,,\nb,s1,ok,,2\n"
    points = read_text(tmp_path, f"model,revision,status,duplicate_of,loss\n{rows}")
    assert points.names == ["a", "b"]
    assert points.left_out == ("1 row that failed", "1 row of copies of other revisions (status duplicate)")


def test_any_numeric_column_can_be_read(tmp_path: Path) -> None:
    points = read_text(tmp_path, "params,tokens,loss,depth\n10,1,3,\n20,1,2,5\n")
    assert np.isnan(points.numbers("depth")[0])
    with pytest.raises(DegenError, match="no column 'dept'; did you mean 'depth'"):
        points.numbers("dept")
    assert len(points.complete("parameters", "loss")) == 2


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("a,loss\n1,2\n", {}, "no column of parameters .* --columns parameters=COLUMN; there are a, loss"),
        ("params,tokens,loss\n1,2,3\n", {"params": "sizes"}, "no column 'sizes'"),
        ("params,tokens,loss\n1,2,3\n", {"colour": "hue"}, "there is no quantity 'colour'"),
        ("params,tokens,loss\n1,2,-3\n", {}, "row 1 has loss -3, which must be positive"),
        ("params,tokens,loss\n0,2,3\n", {}, "row 1 has parameters 0, which must be positive"),
        ("params,tokens,loss\n,2,3\n", {}, "parameters is missing in every row"),
        ("params,tokens,loss\nx,2,3\n", {}, "'params' holds values that are no numbers"),
        ("params,tokens,loss\n1,2,\n1,,3\n", {}, "no row has values of all of parameters, tokens, loss"),
    ],
)
def test_unusable_tables_are_refused_with_the_reason(
    text: str, columns: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DegenError, match=message):
        read_text(tmp_path, text, **columns).complete("parameters", "tokens", "loss")
