"""Words put together from tokens, against the offsets that a tokenizer gives of the same text."""

from __future__ import annotations

import itertools
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from degen.text.words import words_of

TEXT = "The cat isn't here. La fête naïve d’été, 東京 and 😀 emojis! x_1 = f(y2); the cat, the Cat THE END of it all"
WORDS = [*TEXT.split(), "हिन्दी", "किताब", "cafe\u0301s", "می\u200cخواهم", "été", "über", "naïve-ish", "\n", "日本語"]
PLAIN = ["The", "cat", "isn't", "here", "and", "the", "end", "of", "it", "all", "x_1", "fête"]
UNKNOWN = "[UNK]"


def trained(kind: str) -> Any:
    inner, trainer = {
        "bytes": (Tokenizer(models.BPE()), trainers.BpeTrainer(
            vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<s>"])),
        "spaces": (Tokenizer(models.BPE(unk_token=UNKNOWN)), trainers.BpeTrainer(
            vocab_size=120, special_tokens=["<s>", UNKNOWN])),
        "pieces": (Tokenizer(models.WordPiece(unk_token=UNKNOWN)), trainers.WordPieceTrainer(
            vocab_size=120, special_tokens=["<s>", UNKNOWN])),
        "unknown": (Tokenizer(models.WordLevel(unk_token=UNKNOWN)), trainers.WordLevelTrainer(
            special_tokens=["<s>", UNKNOWN])),
    }[kind]  # fmt: skip
    inner.pre_tokenizer, inner.decoder = {
        "bytes": (pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()),
        "spaces": (pre_tokenizers.Metaspace(), decoders.Metaspace()),
        "pieces": (pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()),
        "unknown": (pre_tokenizers.Whitespace(), None),
    }[kind]
    inner.train_from_iterator([TEXT] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>")


TOKENIZERS = {kind: trained(kind) for kind in ("bytes", "spaces", "pieces", "unknown")}


def word_spans(text: str) -> list[tuple[int, int]]:
    """Return where words begin and end, a character after the other."""
    spans: list[tuple[int, int]] = []
    begun = None
    for at, character in enumerate([*text, " "]):
        letter, mark = character.isalnum(), unicodedata.category(character)[0] == "M"
        joins = character in "'’" and begun is not None and text[at + 1 : at + 2].isalnum() and text[at - 1] not in "'’"
        if begun is None:
            begun = at if letter else None
        elif not (letter or mark or joins or character in "\u200c\u200d"):
            spans.append((begun, at))
            begun = None
    return spans


def by_offsets(tokenizer: Any, text: str) -> tuple[list[int], list[tuple[str, int, int]]]:
    """Return ids, and the words between the first and the last character with the tokens that they are in."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    spans = encoded["offset_mapping"]
    found = []
    for start, end in word_spans(text):
        own = [i for i, (a, b) in enumerate(spans) if a < end and b > start]
        found.append((text[start:end], own, start > 0 and end < len(text)))
    alone = [(text, own, inside) for text, own, inside in found
             if inside and not any(set(own) & set(other) for _, other, _ in found if other is not own)]  # fmt: skip
    return encoded["input_ids"], [(text, own[0], own[-1] + 1) for text, own, _ in alone]


def found(tokenizer: Any, ids: list[int]) -> list[tuple[str, int, int]]:
    words = words_of(tokenizer, ids)
    assert words is not None
    return [(word.text, word.first, word.last) for word in words]


@given(st.lists(st.sampled_from(WORDS), min_size=1).map(" ".join))
def test_words_of_byte_level_tokens_are_those_of_the_offsets(text: str) -> None:
    ids, expected = by_offsets(TOKENIZERS["bytes"], text)
    assert found(TOKENIZERS["bytes"], ids) == expected


@given(st.lists(st.sampled_from(PLAIN), min_size=2).map(" ".join))
def test_words_of_sentencepieces_tokens_are_those_of_the_offsets(text: str) -> None:
    ids, expected = by_offsets(TOKENIZERS["spaces"], text)
    own = found(TOKENIZERS["spaces"], ids)
    assert own == expected or own[1:] == expected  # before the first word it writes a space, so it is whole


def test_words_of_wordpiece_are_put_together() -> None:
    tokenizer = TOKENIZERS["pieces"]
    ids = tokenizer("The cat emojis all the cat here", add_special_tokens=False)["input_ids"]
    assert len(ids) >= 7
    words = found(tokenizer, ids)
    assert [text for text, *_ in words] == ["The", "cat", "emojis", "all", "the", "cat"]
    for (_, _, last), (_, first, _) in itertools.pairwise(words):
        assert first == last


def test_marks_belong_to_the_letters_before_them_and_an_underscore_to_no_word() -> None:
    text = "क हिन्दी में किताब, cafe\u0301s foo_bar क"
    ids = TOKENIZERS["bytes"](text)["input_ids"]
    words = words_of(TOKENIZERS["bytes"], ids)
    assert words is not None
    assert [word.text for word in words] == ["हिन्दी", "में", "किताब", "cafe\u0301s", "foo", "bar"]


def test_words_that_a_window_or_a_special_token_cuts_are_left_out() -> None:
    tokenizer = TOKENIZERS["bytes"]
    one, two = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("at the end", "of it all"))
    assert found(tokenizer, one) == [("the", len(tokenizer.tokenize("at")), len(tokenizer.tokenize("at the")))]
    assert [text for text, *_ in found(tokenizer, [*one, tokenizer.bos_token_id, *two])] == ["the", "it"]
    assert found(tokenizer, []) == []


@pytest.mark.parametrize("text", ["it all", "The cat"])
def test_a_tokenizer_that_does_not_tell_words_gives_none(text: str) -> None:
    assert words_of(TOKENIZERS["unknown"], TOKENIZERS["unknown"](text)["input_ids"]) is None
