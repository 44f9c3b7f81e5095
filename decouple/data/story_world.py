"""A generator of long English-like stories, for runs that have no book at hand.

The text has what the experiments need of a novel: word frequencies that fall roughly as Zipf's
law, sentences with a grammar that can be learned, chapters that differ in cast, place, topic,
mood and style, scenes in which words recur, dialogue in curly quotes and em dashes. The content
words are mostly invented, and nothing is taken from any book.
"""

import re
from collections.abc import Callable, Sequence
from typing import Generic

import numpy as np

from decouple.data.story_grammar import RULES
from decouple.data.story_lexicon import (
    Item,
    Lexicon,
    Noun,
    Person,
    Uniform,
    Verb,
    Weighted,
    build_lexicon,
    uniform_numbers,
)

GENERATOR_VERSION = 1
"""To be raised with every change of the generator that changes its text."""

_SYMBOL = re.compile(r"\{(\w+)\}")
_ALTERNATIVES = {
    symbol: [_SYMBOL.split(alternative) for alternative in alternatives]
    for symbol, alternatives in RULES.items()
}
"""Each alternative as literal, symbol, literal, …, symbol, literal."""

_SENTENCE_START = re.compile(r"(?:^|(?<=[.?!] )|(?<=[.?!] “)|(?<=^“))\w")
_A_BEFORE_VOWEL = re.compile(r"\b([Aa])(?= [aeiou])")


def generate_story_world(words: int, seed: int) -> str:
    """A story of exactly `words` words (stretches without whitespace).

    Chapters are written one after another, each from a generator of its own, so a longer story
    begins with the shorter one of the same seed.

    Args:
        words: Length of the text, at least 1.
        seed: Which story, at least 0. The same seed gives bitwise the same text.

    Returns:
        Chapters of paragraphs, separated by blank lines.

    Raises:
        ValueError: `words` or `seed` is too small.
    """
    if words < 1:
        raise ValueError(f"words must be at least 1, got {words}")
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}")
    lexicon = build_lexicon(np.random.default_rng([seed, 0]))
    chapters: list[str] = []
    n_words = 0
    while n_words < words:
        number = len(chapters) + 1
        chapter = _Chapter(number, lexicon, np.random.default_rng([seed, number]))
        chapters.append(chapter.write())
        n_words += len(chapters[-1].split())
    return _first_words("\n\n\n".join(chapters), words)


def _first_words(text: str, words: int) -> str:
    for count, match in enumerate(re.finditer(r"\S+", text), start=1):
        if count == words:
            return text[: match.end()]
    raise AssertionError("the text is shorter than was counted")


def _sample(items: Sequence[Item], count: int, generator: np.random.Generator) -> list[Item]:
    return [items[index] for index in generator.choice(len(items), count, replace=False).tolist()]


class _Vocabulary(Generic[Item]):
    """Words of one class: some from all the story's, the others from a topic of the chapter."""

    def __init__(
        self,
        common: Weighted[Item],
        topic_size: int,
        topic_share: float,
        generator: np.random.Generator,
    ) -> None:
        self.common = common
        self.topic = Weighted.zipf(_sample(common.items, topic_size, generator))
        self.topic_share = topic_share

    def draw(self, uniform: Uniform) -> Item:
        """One word, from the topic with the probability `topic_share`."""
        return (self.topic if uniform() < self.topic_share else self.common).draw(uniform)


class _Chapter:
    """The writer of one chapter: its choice of words, and the state of the scene it is in."""

    def __init__(self, number: int, lexicon: Lexicon, generator: np.random.Generator) -> None:
        self.number = number
        self.uniform: Uniform = uniform_numbers(generator)
        self.length = int(generator.integers(1500, 3500))  # words
        self.dialogue_share = float(generator.uniform(0.1, 0.6))
        # Style: a chapter prefers other sentence patterns than its neighbours.
        self.alternatives = {
            symbol: Weighted.of(
                alternatives,
                [
                    preference / (rank + 7)
                    for rank, preference in enumerate(
                        generator.lognormal(0.0, 0.5, len(alternatives)).tolist()
                    )
                ],
            )
            for symbol, alternatives in _ALTERNATIVES.items()
        }
        # Vocabulary: common to the whole story, or a topic of this chapter alone.
        self.nouns = _Vocabulary(lexicon.nouns, 100, 0.35, generator)
        self.transitive = _Vocabulary(lexicon.transitive, 30, 0.3, generator)
        self.intransitive = _Vocabulary(lexicon.intransitive, 20, 0.3, generator)
        self.adjectives = _Vocabulary(lexicon.adjectives, 40, 0.4, generator)
        self.adverbs = _Vocabulary(lexicon.adverbs, 20, 0.5, generator)
        self.prepositions = lexicon.prepositions
        self.cast = Weighted.zipf(_sample(lexicon.people, 6, generator))
        self.places = Weighted.zipf(_sample(lexicon.places, 3, generator))
        self.scene_nouns: tuple[Noun, ...] = ()
        self.begin_scene()
        self.verb: Verb | None = None  # the last verb, until its object or preposition is found
        self.terminals = self._terminals()

    def begin_scene(self) -> None:
        """Chooses who is there and the few things that the next paragraphs keep coming to."""
        self.focus: Person = self.cast.draw(self.uniform)
        self.companion: Person = self.focus
        while self.companion is self.focus:
            self.companion = self.cast.draw(self.uniform)
        self.scene_nouns = tuple(self.nouns.draw(self.uniform) for _ in range(5))

    def write(self) -> str:
        """The chapter: its heading, then scenes of paragraphs until it is long enough."""
        paragraphs = [f"CHAPTER {self.number}", self.line("title").title().replace("’S ", "’s ")]
        n_words = 0
        while n_words < self.length:
            if self.uniform() < 0.15:
                self.begin_scene()
            if self.uniform() < self.dialogue_share:
                self.focus, self.companion = self.companion, self.focus
                paragraph = self.line("speech")
            else:
                n_sentences = 2 + int(self.uniform() * 5)
                paragraph = " ".join(self.line("sentence") for _ in range(n_sentences))
            paragraphs.append(paragraph)
            n_words += paragraph.count(" ") + 1
        return "\n\n".join(paragraphs)

    def line(self, symbol: str) -> str:
        """A finished expansion of a symbol: articles agree, the first letter is a capital."""
        self.verb = None
        line = _A_BEFORE_VOWEL.sub(r"\1n", self.expand(symbol))
        return _SENTENCE_START.sub(lambda match: match[0].upper(), line)

    def expand(self, symbol: str) -> str:
        """A terminal's word, or one of a rule's alternatives with its symbols expanded."""
        terminal = self.terminals.get(symbol)
        if terminal is not None:
            return terminal()
        pieces = list(self.alternatives[symbol].draw(self.uniform))
        for index in range(1, len(pieces), 2):
            pieces[index] = self.expand(pieces[index])
        return "".join(pieces)

    def noun(self) -> Noun:
        """A noun: what the verb likes, what the scene is about, or any other."""
        chance = self.uniform()
        if self.verb is not None and chance < 0.25:
            noun = self.verb.objects[int(chance / 0.25 * len(self.verb.objects))]
        elif chance > 0.85:
            noun = self.scene_nouns[int((chance - 0.85) / 0.15 * len(self.scene_nouns))]
        else:
            noun = self.nouns.draw(self.uniform)
        self.verb = None
        return noun

    def adjective_noun(self) -> str:
        """A noun after an adjective, often one that it likes."""
        noun = self.noun()
        chance = self.uniform()
        if chance < 0.35:
            adjective = noun.adjectives[int(chance / 0.35 * len(noun.adjectives))]
        else:
            adjective = self.adjectives.draw(self.uniform)
        return f"{adjective} {noun.singular}"

    def preposition(self) -> str:
        """A preposition, often the one that the verb likes."""
        if self.verb is not None and self.uniform() < 0.5:
            return self.verb.preposition
        return self.prepositions.draw(self.uniform)

    def act(self) -> Verb:
        """A verb that takes an object."""
        self.verb = self.transitive.draw(self.uniform)
        return self.verb

    def move(self) -> Verb:
        """A verb without object."""
        self.verb = self.intransitive.draw(self.uniform)
        return self.verb

    def _terminals(self) -> dict[str, Callable[[], str]]:
        return {
            "noun": lambda: self.noun().singular,
            "nouns": lambda: self.noun().plural,
            "adjective_noun": self.adjective_noun,
            "adjective": lambda: self.adjectives.draw(self.uniform),
            "adverb": lambda: self.adverbs.draw(self.uniform),
            "preposition": self.preposition,
            "place": lambda: self.places.draw(self.uniform),
            "see": lambda: self.act().base,
            "sees": lambda: self.act().third,
            "saw": lambda: self.act().past,
            "seen": lambda: self.act().participle,
            "seeing": lambda: self.act().gerund,
            "go": lambda: self.move().base,
            "goes": lambda: self.move().third,
            "went": lambda: self.move().past,
            "gone": lambda: self.move().participle,
            "gone_on": lambda: self.move().gerund,
            "focus": lambda: self.focus.name,
            "speaker": lambda: self.focus.name,
            "companion": lambda: self.companion.name,
            "listener": lambda: self.companion.name,
            "he": lambda: self.focus.he,
            "him": lambda: self.focus.him,
            "his": lambda: self.focus.his,
            "himself": lambda: f"{self.focus.him}self",
        }
