import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decouple.data import generate_story_world
from decouple.metrics.text import (
    coherence,
    distinct_n,
    fluency,
    lead_positions,
    lexicon,
    lexicon_share,
    longest_run,
    valid_utf8_share,
    word_loop_share,
)

IDS = st.lists(st.integers(0, 3), max_size=40)
STORY = generate_story_world(words=12_000, seed=3).encode()
KNOWN, HELD_OUT = STORY[:-12_000], STORY[-12_000:]
LEXICON = lexicon(STORY.decode(errors="ignore"))
CONTEXTS = Counter(KNOWN[i : i + 3] for i in range(len(KNOWN)))
GRAMS = Counter(KNOWN[i : i + 4] for i in range(len(KNOWN)))


def loss(data):
    """Mean negative log-probability of a byte after three, a hundredth of it spread evenly."""
    grams = [data[i : i + 4] for i in range(len(data) - 3)]
    seen = [GRAMS[gram] / max(1, CONTEXTS[gram[:3]]) for gram in grams]
    return -sum(math.log(0.99 * share + 0.01 / 256) for share in seen) / len(seen)


REFERENCE = loss(HELD_OUT)


def judged(data):
    """A continuation of which each byte is a token."""
    return coherence(list(data), data, loss=loss(data), reference=REFERENCE, lexicon=LEXICON)


def story(start=0):
    """A stretch of held-out text from one blank to another."""
    return HELD_OUT[HELD_OUT.index(b" ", start) :].rpartition(b" ")[0][:240].rpartition(b" ")[0]


WRECKS = {
    "loop": story()[:40] + b" the" * 50,
    "shuffle": bytes(np.random.default_rng(0).permutation(list(story())).tolist()),
    "noise": bytes(np.random.default_rng(1).integers(97, 123, 240).tolist()),
    "marks": story()[:20] + b"?" * 220,
    "broken": story().replace(b" ", b" \xe2\x80"),
}


@pytest.mark.parametrize("name", WRECKS)
def test_coherence_tells_text_from_every_way_of_falling_apart(name):
    real = [judged(story(start)).product for start in range(0, 10_000, 500)]
    assert np.mean(real) > 0.5
    assert judged(WRECKS[name]).product < 0.4 * np.quantile(real, 0.1)


def test_each_way_of_failing_brings_its_own_factor_down():
    real = judged(story())
    assert judged(WRECKS["loop"]).distinct_4 < 0.4 < real.distinct_4
    assert judged(WRECKS["broken"]).valid_utf8 < 0.8 < real.valid_utf8
    assert judged(WRECKS["noise"]).lexicon_share < 0.1 < real.lexicon_share
    assert judged(WRECKS["shuffle"]).fluency < 0.3 < real.fluency
    assert real.product == pytest.approx(
        real.distinct_4 * real.valid_utf8**2 * real.fluency * real.lexicon_share
    )


@given(ids=IDS, n=st.integers(1, 4))
def test_distinct_is_the_share_of_different_grams(ids, n):
    if len(ids) < n:
        with pytest.raises(ValueError, match=r"n must lie in .*the number of ids, got"):
            distinct_n(ids, n)
        return
    found = distinct_n(ids, n)
    assert 0 < found <= 1
    assert distinct_n([*range(100, 100 + len(ids))], n) == 1
    assert distinct_n(ids * 5, n) < 1
    assert distinct_n([token + 7 for token in reversed(ids)], n) == found


@given(before=IDS, run=st.integers(1, 50), after=IDS)
def test_a_run_is_found_wherever_it_stands(before, run, after):
    found = longest_run([*before, *[9] * run, *after])
    assert found == max(run, longest_run(before), longest_run(after))


def test_an_empty_sequence_has_no_run():
    assert longest_run([]) == 0
    assert longest_run([1, 2, 1, 2]) == 1


def spelt(*words):
    """The bytes of each token."""
    return [word if isinstance(word, bytes) else word.encode() for word in words]


WORDS = [f" word{chr(97 + i)}" for i in range(20)]


@given(
    start=st.lists(st.sampled_from(WORDS), max_size=10, unique=True),
    word=st.sampled_from([[" kan"], [" Gar", "ak"], [" G", "ar", "ak"], [" g", "é", "n", "é"]]),
)
def test_a_word_that_loops_counts_by_the_part_that_it_takes_up(start, word):
    tokens = spelt(*start, *word * 12)
    period = len(word)
    assert word_loop_share(tokens) >= 11 * period / (len(tokens) - period) - 1e-12
    if period < 4:
        assert word_loop_share(tokens) == pytest.approx(11 * period / (len(tokens) - period))


@given(words=st.permutations(WORDS))
def test_without_repetition_no_word_loops(words):
    assert word_loop_share(spelt(*words)) == 0
    assert word_loop_share(spelt(*words, words[-1])) == pytest.approx(1 / 20)


def test_a_letter_of_two_tokens_is_one_wherever_the_loop_begins():
    letter = [b" ", b"\xc3", b"\xa9"]
    for first in range(3):
        assert word_loop_share([*letter[first:], *letter * 9]) > 0.9


@pytest.mark.parametrize(
    "unit",
    [["?"], [" ", "?"], [b"\x80"], [" ", b"\xe2"], [b"\xe2", b"\x80", b"\x9c"], ["1"], ["\n"]],
)
def test_a_row_of_marks_or_broken_bytes_is_another_failure(unit):
    assert word_loop_share(spelt(*unit * 12)) == 0
    assert word_loop_share(spelt(" too", " faint", ".", *unit * 12)) == 0


def test_a_phrase_longer_than_four_tokens_is_no_loop():
    assert word_loop_share(spelt(*WORDS[:4] * 8)) == 1
    assert word_loop_share(spelt(*WORDS[:5] * 8)) == 0
    assert word_loop_share([]) == word_loop_share(spelt(" one")) == 0


@given(text=st.text())
def test_text_is_valid_up_to_where_it_is_cut(text):
    data = text.encode()
    assert valid_utf8_share(data) == 1
    for end in range(len(data)):
        assert valid_utf8_share(data[:end]) == 1
    assert valid_utf8_share(data + b"\xe2\x80") == 1


@given(text=st.text(max_size=20), bad=st.integers(1, 9))
def test_bytes_without_a_character_are_counted(text, bad):
    data = text.encode() + b"\xff" * bad
    assert valid_utf8_share(data) == pytest.approx(len(text.encode()) / len(data))


def test_a_lead_without_its_continuation_is_broken():
    assert valid_utf8_share("a“b".encode()) == 1
    assert valid_utf8_share(b"a\xe2\x80b") == 0.5  # two bytes of four
    assert valid_utf8_share(b"\x9cab ") == 0.75


def test_a_lexicon_holds_words_and_what_stands_between_spaces():
    words = lexicon("The cat’s hat — don't “SIT”. 42")
    assert words == {"the", "cat’s", "hat", "—", "don't", "sit", "42"}
    assert lexicon_share("the HAT! — qqq", words) == 0.75
    assert lexicon_share("hat—qqq", words) == 0.5
    assert lexicon_share("???? ????", words) == 0
    assert lexicon_share("", words) == 0


@given(loss=st.floats(0, 50), reference=st.floats(0.1, 10))
def test_fluency_falls_from_one_beyond_the_reference(loss, reference):
    found = fluency(loss, reference)
    assert 0 <= found <= 1
    assert (found == 1) == (loss <= reference or math.isclose(loss, reference))
    assert fluency(2 * reference, reference) == pytest.approx(math.exp(-2))
    assert fluency(loss + 1, reference) <= found


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fluency(-1, 2), "loss must be >= 0, got -1"),
        (lambda: fluency(math.nan, 2), "loss must be >= 0, got nan"),
        (lambda: fluency(1, 0), "reference must be > 0, got 0"),
        (lambda: distinct_n([1], 2), "n must lie in"),
    ],
)
def test_nonsense_losses_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_leads_are_followed_by_the_byte_that_completes_them():
    #         0     1            2         3     4          5
    tokens = [b"a", b" \xe2\x80", b"\x9c", "é".encode(), b"\xc3", b"\xa9b"]
    ids = [0, 1, 2, 0, 4, 5, 3, 1, 0, 2, 1]
    # Position 1: lead, continuation. 4: two-byte character. 7: a lead that nothing continues; the
    # stray continuation at 9 completes nothing. 10: a lead at the end, with no next token.
    assert lead_positions(tokens, ids).tolist() == [1, 4]
    assert lead_positions(tokens, []).tolist() == []


@given(text=st.text(max_size=30))
def test_one_byte_a_token_every_byte_but_a_first_continues(text):
    tokens = [bytes([byte]) for byte in range(256)]
    ids = list(text.encode())
    continued = [i - 1 for i, byte in enumerate(ids) if byte & 0xC0 == 0x80]
    assert lead_positions(tokens, ids).tolist() == continued
