"""The quick reader of GGUF makes the fields of the package's own."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from degen.weights.gguf_reader import LONG, dequantizer, quick_reader, reader_class, without_vocabulary


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write a file with arrays of every kind of entry, and two tensors."""
    path = tmp_path / "made.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_array("made.tokens", ["a", "", "ünïcödé", "<|end|>", "x" * 1000])
    writer.add_array("made.scores", [0.5, -1.25, 3.0])
    writer.add_array("made.types", [1, 2, -3])
    writer.add_array("made.flags", [True, False])
    writer.add_array("made.lists", [[1, 2], [3, 4]])
    writer.add_uint32("made.number", 7)
    writer.add_string("made.text", "said")
    writer.add_tensor("a", np.arange(6, dtype=np.float32).reshape(2, 3))
    writer.add_tensor("b", np.arange(4, dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_fields_and_tensors_are_those_of_the_package(file: Path) -> None:
    ours, theirs = reader_class()(file), gguf.GGUFReader(file)
    assert list(ours.fields) == list(theirs.fields)
    for name, field in theirs.fields.items():
        made = ours.fields[name]
        assert (made.offset, made.name, made.data, made.types) == (field.offset, field.name, field.data, field.types)
        assert [(p.dtype, p.shape, p.tobytes()) for p in made.parts] == [
            (p.dtype, p.shape, p.tobytes()) for p in field.parts
        ]
        assert made.contents() == field.contents()
    assert [t.name for t in ours.tensors] == ["a", "b"]
    for tensor, same in zip(ours.tensors, theirs.tensors, strict=True):
        assert (tensor.data_offset, tensor.tensor_type) == (same.data_offset, same.tensor_type)
        assert np.array_equal(tensor.data, same.data)


def test_without_the_vocabulary_long_arrays_are_counted_and_all_else_is_read(tmp_path: Path) -> None:
    path = tmp_path / "long.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for count in (LONG, LONG + 1):
        writer.add_array(f"made.tokens.{count}", [f"token {i}" for i in range(count)])
        writer.add_array(f"made.scores.{count}", [0.5 * i for i in range(count)])
    writer.add_array("made.layers", [1, 2, 3])
    writer.add_tensor("a", np.arange(6, dtype=np.float32).reshape(2, 3))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with without_vocabulary():
        counted = reader_class()(path)
    whole = reader_class()(path)
    assert counted.fields[f"made.tokens.{LONG + 1}"].contents() == [""] * (LONG + 1)
    assert counted.fields[f"made.scores.{LONG + 1}"].contents() == [0.0]
    assert whole.fields[f"made.tokens.{LONG + 1}"].contents()[LONG] == f"token {LONG}"
    assert whole.fields[f"made.scores.{LONG + 1}"].contents()[LONG] == 0.5 * LONG
    for name in set(whole.fields) - {f"made.{kind}.{LONG + 1}" for kind in ("tokens", "scores")}:
        assert counted.fields[name].contents() == whole.fields[name].contents(), name
    assert [(t.name, t.data.tolist()) for t in counted.tensors] == [("a", [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])]


def test_a_file_without_its_end_is_an_error_without_the_vocabulary_too(tmp_path: Path) -> None:
    path, cut = tmp_path / "long.gguf", tmp_path / "cut.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_array("made.tokens", ["token"] * (LONG + 1))
    writer.add_array("made.types", [1] * (LONG + 1))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    content = path.read_bytes()
    for end in (len(content) // 2, len(content) - 40_000, len(content) - 4):
        cut.write_bytes(content[:end])
        with without_vocabulary(), pytest.raises(IndexError):
            reader_class()(cut)


def test_a_file_that_ends_anywhere_in_its_metadata_is_an_error(file: Path, tmp_path: Path) -> None:
    content, cut = file.read_bytes(), tmp_path / "cut.gguf"
    first, last = content.index(b"made.tokens"), content.index(b"made.lists")
    for end in range(first, last, 7):
        cut.write_bytes(content[:end])
        with pytest.raises((IndexError, ValueError)):
            reader_class()(cut)


def test_a_number_of_entries_beyond_the_file_is_an_error(file: Path, tmp_path: Path) -> None:
    content, lying = bytearray(file.read_bytes()), tmp_path / "lying.gguf"
    for name in (b"made.tokens", b"made.scores"):
        spoiled, at = content.copy(), content.index(name) + len(name) + 8
        spoiled[at : at + 8] = (1 << 60).to_bytes(8, "little")
        lying.write_bytes(spoiled)
        with pytest.raises((IndexError, ValueError, OverflowError)):
            reader_class()(lying)


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q4_0", "Q5_0", "Q8_0", "Q4_K", "Q6_K", "IQ4_XS"])
@pytest.mark.parametrize("shape", [(1,), (5,), (16,), (37,), (3, 16)])
def test_values_are_those_that_the_package_dequantizes(kind: str, shape: tuple[int, ...]) -> None:
    quantized = gguf.GGMLQuantizationType[kind]
    _, size = gguf.GGML_QUANT_SIZES[quantized]
    data = np.random.default_rng(0).integers(0, 256, (*shape, 6 * size), dtype=np.uint8)
    with np.errstate(all="ignore"):  # scales of any bits may be infinite
        made, same = dequantizer()(data, quantized), gguf.dequantize(data, quantized)
    assert (made.dtype, made.shape) == (same.dtype, same.shape)
    assert made.tobytes() == same.tobytes()


def test_what_the_package_has_is_back_after_the_block() -> None:
    own = gguf.GGUFReader, gguf.dequantize, gguf.get_tensor_name_map
    with quick_reader():
        assert gguf.GGUFReader is reader_class()
        assert gguf.dequantize is dequantizer()
        table = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
        assert gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2) is table
        assert table.mapping == own[2](gguf.MODEL_ARCH.LLAMA, 2).mapping
        assert gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 3).mapping == own[2](gguf.MODEL_ARCH.LLAMA, 3).mapping
    assert (gguf.GGUFReader, gguf.dequantize, gguf.get_tensor_name_map) == own
