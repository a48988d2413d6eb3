from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from degen import DegenError
from degen.readers.columns import first_column, keep_rows, numbers, texts
from degen.readers.table_file import has_parts, read_table_file, stem

ROWS = {"model": ["a", "a", "b"], "step": [0, 10, 0], "loss": [3.5, None, 2.0]}
HERE = Path("t.csv")


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".CSV"])
def test_every_format_gives_the_same_table(ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"t{ending}"
    frame = pd.DataFrame(ROWS)
    if ending == ".parquet":
        frame.to_parquet(file)
    else:
        frame.to_csv(file, index=False, sep="\t" if ".tsv" in ending else ",")
    assert read_table_file(file).to_pydict() == ROWS
    assert stem(file) == "t"


def test_tables_written_by_other_tools_are_read(tmp_path: Path) -> None:
    pd.DataFrame(ROWS).to_csv(tmp_path / "index.csv")  # with a column of row numbers that has no name
    pl.DataFrame(ROWS).write_parquet(tmp_path / "polars.parquet")
    pd.DataFrame(ROWS).astype({"model": "category"}).to_parquet(tmp_path / "category.parquet")
    pd.DataFrame(ROWS, index=[7, 8, 9]).to_parquet(tmp_path / "rows.parquet")
    for name in ("index.csv", "polars.parquet", "category.parquet", "rows.parquet"):
        assert read_table_file(tmp_path / name).to_pydict() == ROWS, name


def test_columns_of_any_plain_type_can_be_filtered(tmp_path: Path) -> None:
    columns = {
        "coded": pa.array(["a", "b"]).dictionary_encode(),
        "viewed": pa.array(["a", "b"], pa.string_view()),
        "large": pa.array(["a", "b"], pa.large_string()),
        "nested": pa.array([[1], [2]]),
    }
    parquet(tmp_path / "t.parquet", **columns)
    table = read_table_file(tmp_path / "t.parquet")
    assert keep_rows(table, dict.fromkeys(["coded", "viewed", "large"], "b"), HERE).to_pylist() == [
        {"coded": "b", "viewed": "b", "large": "b"}
    ]


def test_missing_numbers_are_missing_in_any_spelling(tmp_path: Path) -> None:
    cells = ["nan", "NaN", "", "NA", "N/A", "None", "null"]
    file = write(tmp_path / "t.csv", "name,x\n" + "".join(f"{cell},{cell}\n" for cell in cells) + "a word,1.5\n")
    table = read_table_file(file)
    content = numbers(table, "x", file)
    assert np.isnan(content[:-1]).all()
    assert content[-1] == 1.5
    assert texts(table, "name") == [*cells, "a word"]


def test_types_come_from_all_rows_not_from_the_first_megabyte(tmp_path: Path) -> None:
    lines = [f"{i},{'x' * 100},{i}\n" for i in range(30_000)]
    file = write(tmp_path / "t.csv", "step,note,value\n" + "".join(lines) + "30000,,0.5\n30001,,inf\n")
    value = numbers(read_table_file(file), "value", file)
    assert value[:30_000].tolist() == list(range(30_000))
    assert value[-2] == 0.5
    assert math.isinf(value[-1])


def test_a_byte_order_mark_spaces_and_quoted_lines_are_read(tmp_path: Path) -> None:
    file = write(tmp_path / "t.csv", b'\xef\xbb\xbf\nstep, loss ,note\r\n1, 2.5,"two\nlines, here"\r\n')
    assert read_table_file(file).to_pydict() == {"step": [1], "loss": [2.5], "note": ["two\nlines, here"]}


def test_a_folder_of_parts_is_read_as_one_table(tmp_path: Path) -> None:
    pq.write_table(pa.table({"step": [2], "loss": [1]}), write(tmp_path / "parts/seed=1/b.parquet", ""))
    pq.write_table(pa.table({"step": [1], "loss": [0.5], "acc": [0.1]}), write(tmp_path / "parts/seed=0/a.parquet", ""))
    write(tmp_path / "parts/.a.partial.parquet", "half a file")
    write(tmp_path / "parts/_temporary/c.parquet", "half a file")
    content = read_table_file(tmp_path / "parts").to_pydict()
    assert content == {"step": [1, 2], "loss": [0.5, 1.0], "acc": [0.1, None], "seed": ["0", "1"]}
    assert has_parts(tmp_path / "parts")
    assert not has_parts(tmp_path / "parts" / "_temporary" / "none")
    assert stem(tmp_path / "parts") == "parts"


def parquet(path: Path, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def bad_files(folder: Path) -> dict[Path, str]:
    """Return files that are no table, and the message of each."""
    cut = gzip.compress(b"step,loss\n" + b"1,2\n" * 500)[:-20]
    whole = parquet(folder / "whole.parquet", step=[1] * 1000).read_bytes()
    parquet(folder / "types" / "a.parquet", step=[1])
    parquet(folder / "types" / "b.parquet", step=["one"])
    parquet(folder / "broken" / "a.parquet", step=[1])
    write(folder / "broken" / "b.parquet", whole[:200])
    (folder / "nothing").mkdir()
    return {
        folder / "absent.csv": r"absent\.csv: no such file or folder; name a table",
        write(folder / "t.xlsx", "x"): r"t\.xlsx: not a format of tables; save the table as one of \.csv",
        write(folder / "plain", "x"): r"plain: not a format of tables",
        write(folder / "empty.csv", ""): r"empty\.csv: the file is empty",
        write(folder / "blank.csv", " \n\n"): r"blank\.csv: the file is empty",
        write(folder / "empty.parquet", ""): r"empty\.parquet: the file is empty",
        write(folder / "header.csv", "step,loss\n"): r"header\.csv: .* columns but no rows",
        parquet(folder / "none.parquet", step=pa.array([], pa.int64())): r"none\.parquet: .* columns but no rows",
        write(
            folder / "ragged.csv", "a,b\n1,2\n3\n"
        ): r"ragged\.csv: a row of the table is wrong \(.*Row #3.*correct it",
        write(
            folder / "latin.csv", b"a,b\n\xe9,2\n"
        ): r"latin\.csv: the text is not UTF-8 .*byte 4\); save it as UTF-8",
        write(folder / "wide.csv", "a,b\n1,2\n".encode("utf-16")): r"wide\.csv: the text is not UTF-8",
        write(
            folder / "points.csv", "step;loss\n1;2,5\n"
        ): r"points\.csv: .*separated by ',', and are by ';'; save the table with commas",
        write(folder / "tabs.csv", "step\tloss\n1\t2\n"): r"tabs\.csv: .*separated by ',', and are by '\\t'",
        write(folder / "commas.tsv", "step,loss\n1,2\n"): r"commas\.tsv: .*separated by '\\t', and are by ','",
        write(folder / "twice.csv", "step,loss, loss\n1,2,3\n"): r"twice\.csv: two columns are called 'loss'; rename",
        write(folder / "cut.csv.gz", cut): r"cut\.csv\.gz: damaged, or not a gzip file",
        write(folder / "plain.csv.gz", "step,loss\n1,2\n"): r"plain\.csv\.gz: damaged, or not a gzip file",
        write(folder / "cut.parquet", whole[:300]): r"cut\.parquet: damaged, or not a Parquet file",
        write(folder / "text.parquet", "step,loss\n1,2\n"): r"text\.parquet: damaged, or not a Parquet file",
        folder / "nothing": r"nothing: this folder holds no Parquet part .* name one",
        folder / "broken": r"broken/b\.parquet: damaged, or not a Parquet file",
        folder / "types": r"types: the parts in this folder do not fit together .*step.*give each column the same type",
        folder / ("x" * 300 + ".csv"): "the name is too long",
    }


def test_damaged_files_are_refused_by_name(tmp_path: Path) -> None:
    for path, message in bad_files(tmp_path).items():
        with pytest.raises(DegenError, match=message) as caught:
            read_table_file(path)
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == 2


def test_rows_are_filtered_by_text_number_and_truth_value() -> None:
    table = pa.table(
        {"task": ["a", "b", None], "shots": [0, 5, 5], "lr": [1e-3, 1e-3, 1e-4], "tied": [True, True, False]}
    )
    for where, count in [
        ({}, 3),
        ({"task": "a"}, 1),
        ({"shots": "5.0"}, 2),
        ({"lr": "0.001", "shots": "5"}, 1),
        ({"tied": "true"}, 2),
    ]:
        assert len(keep_rows(table, where, HERE)) == count


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"taks": "a"}, r"t\.csv: the table has no column 'taks' to filter by; did you mean 'task'\?"),
        ({"zzz": "a"}, r"t\.csv: the table has no column 'zzz' to filter by; there are task, shots"),
        ({"task": "lambada"}, r"t\.csv: column 'task' never has the value 'lambada'; did you mean 'lambada_openai'\?"),
        ({"shots": "7"}, r"column 'shots' never has the value '7'; there are 0, 5"),
        ({"shots": "many"}, r"column 'shots' never has the value 'many'; there are 0, 5"),
        ({"task": "piqa", "shots": "0"}, r"no row has task=piqa, shots=0 at once"),
    ],
)
def test_a_filter_that_keeps_nothing_is_refused(where: dict[str, str], message: str) -> None:
    table = pa.table({"task": ["lambada_openai", "piqa"], "shots": [0, 5]})
    with pytest.raises(DegenError, match=message):
        keep_rows(table, where, HERE)


def test_a_column_of_text_is_refused_as_numbers() -> None:
    with pytest.raises(DegenError, match=r"t\.csv: column 'loss' holds values that are no numbers, such as '1\.2\*'"):
        numbers(pa.table({"loss": ["1.5", "1.2*"]}), "loss", HERE)
    with pytest.raises(DegenError, match=r"t\.csv: column 'loss' holds numbers as text; correct the column"):
        numbers(pa.table({"loss": ["1.5", "1.2"]}), "loss", HERE)
    assert np.isnan(numbers(pa.table({"loss": pa.nulls(2)}), "loss", HERE)).all()


def test_numbers_beyond_the_largest_value_are_infinite() -> None:
    read = numbers(pa.table({"loss": [1e100, -1e100, 1.0000001e100, -1e300, 2.5]}), "loss", HERE)
    assert read.tolist() == [1e100, -1e100, math.inf, -math.inf, 2.5]


def test_columns_are_found_in_any_case() -> None:
    assert first_column(pa.table({"Step": [1], "steps": [1]}), ["step", "steps"]) == "Step"
    assert first_column(pa.table({"x": [1]}), ["step"]) is None
