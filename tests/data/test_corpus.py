import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import decouple.data.corpus as corpus_module
from decouple.data import (
    CorpusConfig,
    corpus_fingerprint,
    corpus_label,
    generate_story_world,
    load_corpus,
)
from decouple.data.corpus import _cut


@pytest.fixture
def book(tmp_path):
    def write(data, **options):
        file = tmp_path / "book.txt"
        file.write_bytes(data)
        return CorpusConfig(path=str(file), **options)

    return write


def test_without_a_path_the_story_world_is_generated():
    assert load_corpus(CorpusConfig(words=300, seed=4)) == generate_story_world(300, 4)


def test_byte_order_mark_and_carriage_returns_are_removed(book):
    text = load_corpus(book("\ufeffOne.\r\nTwo — “three”.\rFour.\n".encode()))
    assert text == "One.\nTwo — “three”.\nFour.\n"


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(3, "one"), (4, "one"), (6, "one"), (7, "one two"), (8, "one two"), (2, "on"), (99, None)],
)
def test_a_file_is_cut_before_whitespace(book, limit, expected):
    text = "one two\nthree"
    assert load_corpus(book(text.encode(), max_characters=limit)) == (expected or text)


@given(text=st.text(alphabet="ab \n", max_size=40), limit=st.integers(1, 45))
def test_a_cut_is_a_prefix_within_the_limit_that_splits_no_word_but_the_first(text, limit):
    cut = _cut(text, limit)
    assert text.startswith(cut)
    assert len(cut) <= limit
    if len(cut) < len(text) and cut.strip() and not text[len(cut)].isspace():
        assert len(cut.split()) == 1


@pytest.mark.parametrize("data", [b"", b" \n\t ", "\ufeff".encode()])
def test_a_file_without_text_is_refused(book, data):
    with pytest.raises(ValueError, match=r"path must be a file with text .*book\.txt.*empty"):
        load_corpus(book(data))


def test_undecodable_bytes_are_refused_with_their_offset(book):
    with pytest.raises(ValueError, match=r"UTF-8 .*book\.txt.*0xe9 at offset 3"):
        load_corpus(book(b"caf\xe9 noir"))


@pytest.mark.parametrize("function", [load_corpus, corpus_fingerprint, corpus_label])
def test_a_path_that_is_no_file_is_refused(function, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"path must be a text file, got .*gone\.txt"):
        function(CorpusConfig(path=str(tmp_path / "gone.txt")))
    with pytest.raises(ValueError, match=r"path must be a text file, got .* directory"):
        function(CorpusConfig(path=str(tmp_path)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"words": 0}, "words must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"path": "x", "max_characters": 0}, "max_characters must be at least 1, got 0"),
        ({"max_characters": 5}, "max_characters cuts a file and needs a path, got 5"),
        ({"path": ""}, "path must name a text file or be None"),
    ],
)
def test_nonsense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        CorpusConfig(**options)


def test_fingerprint_of_the_story_world_names_its_parameters_and_generates_nothing(monkeypatch):
    monkeypatch.setattr(corpus_module, "generate_story_world", None)
    configs = [CorpusConfig(), CorpusConfig(seed=1), CorpusConfig(words=5)]
    before = {corpus_fingerprint(config) for config in configs}
    assert len(before) == 3
    monkeypatch.setattr(corpus_module, "GENERATOR_VERSION", -1)
    assert before.isdisjoint(corpus_fingerprint(config) for config in configs)


def test_fingerprint_of_a_file_depends_on_its_bytes_and_the_cut_alone(book, tmp_path):
    config = book(b"some text")
    original = corpus_fingerprint(config)
    assert hashlib.sha256(b"some text").hexdigest() in original
    copy = tmp_path / "copy.txt"
    copy.write_bytes(b"some text")
    assert corpus_fingerprint(CorpusConfig(path=str(copy))) == original
    assert corpus_fingerprint(CorpusConfig(path=str(copy), max_characters=4)) != original
    assert corpus_fingerprint(book(b"some texts")) != original


def test_label_tells_the_file_but_not_the_folder(book, tmp_path):
    digest = hashlib.sha256(b"some text").hexdigest()[:10]
    assert corpus_label(book(b"some text")) == f"book.txt (sha256 {digest}…)"
    cut = corpus_label(book(b"some text", max_characters=2000))
    assert cut == f"book.txt (sha256 {digest}…, first 2,000 characters)"
    assert str(tmp_path) not in cut
    generated = corpus_label(CorpusConfig())
    assert generated == "generated story world (100,000 words, seed 0)"
