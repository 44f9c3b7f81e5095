import hashlib
from dataclasses import replace
from inspect import getsource

import pytest
from huggingface_hub import constants
from tiktoken_ext.openai_public import gpt2

from decouple.data.downloads import (
    DOWNLOADS,
    VOCABULARY_ADDRESSES,
    Download,
    DownloadError,
    cached,
    fetch,
)

CONTENT = b"once upon a time"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
TEXT = Download(name="text", what="a text", repository="a/b", files=(("a.txt", DIGEST),))


@pytest.fixture
def hub(tmp_path):
    def make(stated=None):
        def get(download, name):
            path = tmp_path / name
            path.write_bytes(CONTENT)
            return path, stated

        return get

    return make


def test_a_file_with_the_pinned_digest_is_accepted(hub, tmp_path):
    assert fetch(TEXT, hub()) == [tmp_path / "a.txt"]


def test_another_file_than_the_pinned_one_is_refused(hub):
    wrong = replace(TEXT, files=(("a.txt", "0" * 64),))
    with pytest.raises(DownloadError, match=f"a.txt must have the SHA-256 0{{64}}, got {DIGEST}"):
        fetch(wrong, hub(stated=DIGEST))


def test_without_a_pinned_digest_the_publishers_decides(hub):
    loose = replace(TEXT, files=(("a.txt", None),))
    assert fetch(loose, hub(stated=DIGEST))
    with pytest.raises(DownloadError, match="must have the SHA-256"):
        fetch(loose, hub(stated="1" * 64))
    with pytest.raises(DownloadError, match=r"states no digest of a\.txt"):
        fetch(loose, hub())


def test_a_machine_without_a_network_says_so():
    def get(download, name):
        raise OSError("no route to host")

    with pytest.raises(DownloadError, match=r"text: a\.txt could not be fetched: no route to host"):
        fetch(TEXT, get)


def test_what_tiktoken_has_cached_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    vocabulary = DOWNLOADS["gpt2-vocabulary"]
    assert cached(vocabulary) is None
    for address in VOCABULARY_ADDRESSES:
        (tmp_path / hashlib.sha1(address.encode()).hexdigest()).touch()
    assert len(cached(vocabulary)) == 2


def test_the_addresses_are_those_tiktoken_uses():
    assert all(address in getsource(gpt2) for address in VOCABULARY_ADDRESSES)


def test_what_the_hub_has_cached_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    download = replace(TEXT, files=(("config.json", DIGEST),))
    assert cached(download) is None
    snapshot = tmp_path / "models--a--b" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_bytes(CONTENT)
    (tmp_path / "models--a--b" / "refs").mkdir()
    (tmp_path / "models--a--b" / "refs" / "main").write_text("abc")
    assert cached(download) == [snapshot / "config.json"]
