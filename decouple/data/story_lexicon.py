"""The words of the generated story world: a few real ones, and thousands that are invented."""

import re
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from decouple.data.story_grammar import RULES

Item = TypeVar("Item")

Uniform = Callable[[], float]
"""A source of uniform numbers in [0, 1)."""

# Base, past, participle, gerund. The commonest words are real English ones, so that the head of
# the frequency list looks like that of a novel.
_CORE_TRANSITIVE = """
see saw seen seeing|take took taken taking|know knew known knowing|find found found finding
leave left left leaving|hold held held holding|keep kept kept keeping|hear heard heard hearing
bring brought brought bringing|give gave given giving|lose lost lost losing
carry carried carried carrying|open opened opened opening|follow followed followed following
forget forgot forgotten forgetting|break broke broken breaking|turn turned turned turning
"""
_CORE_INTRANSITIVE = """
come came come coming|go went gone going|stand stood stood standing|sit sat sat sitting
fall fell fallen falling|wait waited waited waiting|sleep slept slept sleeping
"""
_CORE_NOUNS = """
man men|hand hands|day days|door doors|house houses|night nights|eye eyes|word words|way ways
room rooms|face faces|voice voices|road roads|window windows|friend friends|letter letters
fire fires|table tables|heart hearts|woman women|light lights|child children|name names
morning mornings|head heads|horse horses|river rivers|stone stones|lamp lamps|wind winds
"""
_CORE_ADJECTIVES = """
old little great long good dark small white young strange cold quiet poor heavy black whole
"""
_CORE_ADVERBS = """
slowly suddenly quite softly already hardly quietly together indeed nearly alone well quickly
"""
_PREPOSITIONS = """
in to on with at from by into upon for through under over behind beyond near against across
beside toward above before beneath along between after within without
"""

# Repeated entries are likelier. Sounds that easily make coarse English words are left out.
_ONSETS = """
b b c c ch d d f f g h h h j l l l m m m n n p p r r r s s s st t t t th tr v w w
bl br cl cr dr fl fr gl gr pl pr qu sk sp str thr
"""
_VOWELS = "a a a a e e e e e i i i i o o o o u u ai ea ee oo ou"
_CODAS = "n n n r r l l s t t d m b nd st rd ll p rn lt ft lk mb lm"
_ENDINGS = {
    "noun": ("", "", "", "er", "ow", "le", "et", "ness", "ing", "age", "ard", "ment", "ity"),
    "verb": ("", "", "", "en", "er", "ish", "le", "ow"),
    "adjective": ("", "y", "y", "ed", "en", "ish", "ous", "ful", "less", "al", "ent"),
    "name": ("", "a", "o", "in", "el", "as", "ey", "ow", "ett", "ine"),
}


@dataclass(frozen=True, slots=True)
class Weighted(Generic[Item]):
    """Items to draw from, the likeliest first.

    The item of rank r = 0, 1, … has weight `(r + offset) ** -exponent` (Zipf–Mandelbrot).
    """

    items: tuple[Item, ...]
    cumulative: tuple[float, ...]

    @classmethod
    def zipf(
        cls, items: Sequence[Item], offset: float = 8.0, exponent: float = 1.0
    ) -> "Weighted[Item]":
        """The items with weights that fall with their rank."""
        return cls.of(items, [(rank + offset) ** -exponent for rank in range(len(items))])

    @classmethod
    def of(cls, items: Sequence[Item], weights: Sequence[float]) -> "Weighted[Item]":
        """The items with the given positive weights, which need not sum to one."""
        total = sum(weights)
        return cls(tuple(items), tuple(accumulate(weight / total for weight in weights)))

    def draw(self, uniform: Uniform) -> Item:
        """One item, at the cost of one uniform number."""
        # Rounding may leave the last cumulative weight just below one: `hi` keeps it in range.
        return self.items[bisect(self.cumulative, uniform(), hi=len(self.items) - 1)]


class Noun(NamedTuple):
    """A noun, and the adjectives that it likes to stand with."""

    singular: str
    plural: str
    adjectives: tuple[str, ...]


class Verb(NamedTuple):
    """A verb in its forms, with the objects and the preposition that it likes."""

    base: str
    third: str
    past: str
    participle: str
    gerund: str
    objects: tuple[Noun, ...]
    preposition: str


class Person(NamedTuple):
    """Somebody in the story, with the pronouns that stand for them."""

    name: str
    he: str
    him: str
    his: str


@dataclass(frozen=True, slots=True)
class Lexicon:
    """All words of one story world, each class ordered from common to rare."""

    nouns: Weighted[Noun]
    transitive: Weighted[Verb]
    intransitive: Weighted[Verb]
    adjectives: Weighted[str]
    adverbs: Weighted[str]
    prepositions: Weighted[str]
    people: tuple[Person, ...]
    places: tuple[str, ...]


def uniform_numbers(generator: np.random.Generator) -> Uniform:
    """The generator's uniform numbers one at a time, drawn in blocks because that is faster."""

    def numbers() -> Iterator[float]:
        while True:
            yield from generator.random(1024).tolist()

    return numbers().__next__


def build_lexicon(generator: np.random.Generator) -> Lexicon:
    """Invents the vocabulary of a story world.

    Words are pronounceable syllables with English endings; rare words are longer than common
    ones, as in natural languages. Verbs get objects and prepositions, nouns get adjectives that
    recur with them, so that the text has collocations.

    Args:
        generator: The source of randomness.

    Returns:
        The vocabulary: about nine thousand words before inflection.
    """
    uniform = uniform_numbers(generator)
    onsets, vowels, codas = _ONSETS.split(), _VOWELS.split(), _CODAS.split()
    # No word is invented that the grammar or the real words have already.
    real = [alternative for alternatives in RULES.values() for alternative in alternatives]
    real += [_CORE_TRANSITIVE, _CORE_INTRANSITIVE, _CORE_NOUNS]
    real += [_CORE_ADJECTIVES, _CORE_ADVERBS, _PREPOSITIONS]
    taken = set(re.findall("[a-z]+", " ".join(real)))

    def pick(items: Sequence[str]) -> str:
        return items[int(uniform() * len(items))]

    def invent(kind: str, count: int) -> list[str]:
        words: list[str] = []
        while len(words) < count:
            # Common words have mostly one syllable and an ending, rare ones up to three.
            rank = len(words)
            n_syllables = 1 + (uniform() < 0.2 + rank / 3000) + (uniform() < rank / 12000)
            syllables = [pick(onsets) + pick(vowels) for _ in range(n_syllables)]
            word = "".join(syllables) + pick(codas) + pick(_ENDINGS[kind])
            if word not in taken:
                taken.add(word)
                words.append(word)
        return words

    adjectives = _CORE_ADJECTIVES.split() + invent("adjective", 1800)
    weighted_adjectives = Weighted.zipf(adjectives)
    noun_forms = [tuple(entry.split()) for entry in _entries(_CORE_NOUNS)]
    noun_forms += [(noun, _with_s(noun)) for noun in invent("noun", 4500)]
    nouns = [
        Noun(singular, plural, tuple(weighted_adjectives.draw(uniform) for _ in range(3)))
        for singular, plural in noun_forms
    ]
    weighted_nouns = Weighted.zipf(nouns)
    prepositions = Weighted.zipf(_PREPOSITIONS.split(), offset=1.0)

    def verbs(core: str, count: int) -> Weighted[Verb]:
        forms = [entry.split() for entry in _entries(core)]
        forms += [[base, *_regular_forms(base)] for base in invent("verb", count)]
        return Weighted.zipf(
            [
                Verb(
                    base=base,
                    third="goes" if base == "go" else _with_s(base),
                    past=past,
                    participle=participle,
                    gerund=gerund,
                    objects=tuple(weighted_nouns.draw(uniform) for _ in range(3)),
                    preposition=prepositions.draw(uniform),
                )
                for base, past, participle, gerund in forms
            ]
        )

    invented_adjectives = adjectives[len(_CORE_ADJECTIVES.split()) :]
    adverbs = [_adverb(adjective) for adjective in invented_adjectives[:700]]
    pronouns = (("he", "him", "his"), ("she", "her", "her"))
    names = [name.capitalize() for name in invent("name", 260)]
    return Lexicon(
        nouns=weighted_nouns,
        transitive=verbs(_CORE_TRANSITIVE, 1200),
        intransitive=verbs(_CORE_INTRANSITIVE, 600),
        adjectives=weighted_adjectives,
        adverbs=Weighted.zipf(_CORE_ADVERBS.split() + adverbs),
        prepositions=prepositions,
        people=tuple(Person(name, *pronouns[uniform() < 0.4]) for name in names[:180]),
        places=tuple(names[180:]),
    )


def _entries(table: str) -> list[str]:
    return [entry for line in table.split("\n") for entry in line.split("|") if entry]


def _with_s(word: str) -> str:
    if word.endswith(("s", "sh", "ch", "x", "z")):
        return word + "es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


def _regular_forms(verb: str) -> tuple[str, str, str]:
    stem = verb.removesuffix("e")
    return stem + "ed", stem + "ed", stem + "ing"


def _adverb(adjective: str) -> str:
    if adjective.endswith("y"):
        return adjective[:-1] + "ily"
    return adjective + ("y" if adjective.endswith("l") else "ly")
