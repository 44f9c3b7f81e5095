import hashlib
import re
from collections import Counter
from graphlib import TopologicalSorter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decouple.data import generate_story_world
from decouple.data.story_grammar import RULES
from decouple.data.story_world import GENERATOR_VERSION

N_WORDS = 60_000


@pytest.fixture(scope="module")
def story():
    return generate_story_world(N_WORDS, seed=0)


@pytest.fixture(scope="module")
def words(story):
    return [word.lower() for word in re.findall(r"[A-Za-z]+(?:’[a-z]+)?", story)]


@settings(max_examples=15, deadline=None)
@given(short=st.integers(1, 6000), extra=st.integers(0, 6000), seed=st.integers(0, 2**40))
def test_a_longer_story_begins_with_the_shorter_one_word_for_word(short, extra, seed):
    longer = generate_story_world(short + extra, seed)
    shorter = generate_story_world(short, seed)
    assert longer.startswith(shorter)
    assert len(shorter.split()) == short
    assert len(longer.split()) == short + extra


def test_same_seed_same_text_and_other_seeds_other_words(story):
    assert generate_story_world(N_WORDS, seed=0) == story
    other = generate_story_world(2000, seed=1)
    names = [set(re.findall(r"(?<=[a-z] )[A-Z]\w+", text[:10_000])) for text in (story, other)]
    assert names[0]
    assert names[0].isdisjoint(names[1] - {"I"})


def test_the_text_changes_only_with_the_version():
    digest = hashlib.sha256(generate_story_world(5000, seed=0).encode()).hexdigest()
    assert (GENERATOR_VERSION, digest[:16]) == (1, "426c3740959f1579")


def test_frequencies_resemble_those_of_a_novel(words):
    counts = Counter(words)
    frequency = np.array(sorted(counts.values(), reverse=True), dtype=float)
    ranks = np.unique(np.geomspace(1, 3000, 60).astype(int))
    slope = np.polyfit(np.log(ranks), np.log(frequency[ranks - 1]), 1)[0]
    share = frequency / frequency.sum()
    assert -1.15 < slope < -0.9
    assert 0.2 < share[:10].sum() < 0.29
    assert 9.0 < -(share * np.log2(share)).sum() < 9.8  # bits per word
    assert 0.09 < len(counts) / len(words) < 0.15
    assert 0.4 < (frequency == 1).mean() < 0.6


def test_sentences_have_the_lengths_of_prose(story):
    lengths = [len(part.split()) for part in re.split(r"[.?!]”?\s", story) if part.strip()]
    assert 11 < np.mean(lengths) < 20
    assert np.quantile(lengths, 0.99) < 50


def test_successive_parts_differ_more_than_shuffled_ones(words):
    def divergence(sequence):
        parts = np.array_split(np.array(sequence, dtype=object), 12)
        return np.mean([jensen_shannon(*pair) for pair in pairwise(parts)])

    shuffled = np.random.default_rng(0).permutation(np.array(words, dtype=object))
    assert divergence(words) > 1.1 * divergence(shuffled)


def test_words_depend_on_their_context(words):
    # The conditional entropy of a word given the one before, on the words that occur often, lies
    # well under that of the word alone; a shuffled text shows how much of it is small numbers.
    def gain(sequence):
        common = {word for word, _ in Counter(sequence).most_common(300)}
        pairs = [pair for pair in pairwise(sequence) if common.issuperset(pair)]
        alone = entropy(Counter(second for _, second in pairs))
        return alone - (entropy(Counter(pairs)) - entropy(Counter(first for first, _ in pairs)))

    shuffled = np.random.default_rng(0).permutation(np.array(words, dtype=object)).tolist()
    assert gain(words) > gain(shuffled) + 1.0  # bits


def test_typography_of_a_novel(story):
    assert story.startswith("CHAPTER 1\n\n")
    assert len(re.findall(r"^CHAPTER \d+$", story, flags=re.MULTILINE)) > 15
    for character in "“”’—":
        assert story.count(character) > 100
    for character in "{}\"'\t\r":
        assert character not in story
    assert "  " not in story
    finished = story[: story.rindex("\n\n")]
    assert finished.count("“") == finished.count("”")
    assert not re.search(r"\b[Aa] [aeiou]", story)


def test_paragraphs_are_not_repeated(story):
    paragraphs = [part for part in story.split("\n\n") if len(part.split()) > 8]
    assert len(set(paragraphs)) == len(paragraphs)


def test_every_expansion_of_the_grammar_ends():
    # A cycle in the rules could make a sentence of any length.
    graph = {
        symbol: set(re.findall(r"\{(\w+)\}", " ".join(alternatives)))
        for symbol, alternatives in RULES.items()
    }
    TopologicalSorter(graph).prepare()  # raises CycleError


@pytest.mark.parametrize(
    ("words", "seed", "message"),
    [(0, 0, "words must be at least 1, got 0"), (1, -1, "seed must be at least 0, got -1")],
)
def test_nonsense_is_refused(words, seed, message):
    with pytest.raises(ValueError, match=message):
        generate_story_world(words, seed)


def entropy(counts):
    share = np.array(list(counts.values()), dtype=float)
    share /= share.sum()
    return -(share * np.log2(share)).sum()


def jensen_shannon(first, second):
    one, two = Counter(first), Counter(second)
    vocabulary = sorted(one.keys() | two.keys())
    p = np.array([one[word] for word in vocabulary]) / one.total()
    q = np.array([two[word] for word in vocabulary]) / two.total()
    mixture = dict(zip(vocabulary, (p + q) / 2, strict=True))
    return entropy(mixture) - (entropy(one) + entropy(two)) / 2
