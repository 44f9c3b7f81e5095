"""The sentence patterns of the generated story world.

A rule maps a symbol to its alternatives, the likeliest first; `{symbol}` in an alternative is
replaced by an expansion of that symbol. A symbol that is no rule here is a terminal: the chapter
writer of `decouple.data.story_world` supplies its word. Singular and plural, past and present
have symbols of their own, so that everything agrees.
"""

# Narration: past tense, about the person in focus, whose pronouns are {he}, {him} and {his}.
_NARRATION: dict[str, tuple[str, ...]] = {
    "sentence": (
        "{subject} {did} {where}, and {filler} {did} {thing_or_where}",
        "{the_thing} {happened} {where}, and {subject} {did}, {filler}.",
        "{opening} {subject} {did}, {but} {linked}.",
        "{subject} {did}.",
        "when {the_thing} {happened} {where}, {subject} {did}, and {linked}.",
        "{the_thing}, {filler}, was {adjective}, {but} {linked}.",
        "{subject}, who had {done}, {did} {where}, {but} {linked}.",
        "there was {a_thing} {where}, {which}.",
        "the {nouns} were {adjective}, and the {nouns} of {place} {adverb_of_time} {they_did}.",
        "as {he} {did}, {companion} {did}; {linked}.",
        "{subject} {did} {where}—{aside}—and {did}.",
        "if {companion} had {done}, {he} would have {done}; but {linked}.",
        "{doing}, {he} {did}, {but} {companion} {did}.",
        "{he} could not {do}, for {the_thing} had {happened_before}.",
        "the {nouns} and {nouns} and all {his} {nouns} {they_did}, {which}.",
        "at {place} they {adverb_of_time} {they_did}, and the {nouns} {they_did}.",
        "{a_thing} and {a_thing} were all that {he} had {done_to}.",
        "what {he} had {done_to} was not {a_thing}, but {a_thing}.",
        "so {he} {did}, and {did}, and {did}, until {the_thing} {happened}.",
        "{one_of} the {nouns} was {adjective}, {filler}.",
        "it was {adverb} {adjective} {where}; {linked}.",
        "no one {where} {did}, or {did}, or {did}.",
        "{he} was {more} {adjective} than {companion}, and {linked}.",
    ),
    "filler": ("indeed", "after all", "of course", "no doubt", "as ever", "at least", "in truth",
               "to be sure", "for once", "as before", "in time", "by and by", "it seems",
               "for all that", "little by little", "day after day", "more or less", "if only",
               "even then", "at first", "in the end", "this time", "on the whole", "too"),
    "thing_or_where": ("to {do}.", "{where}.", "with {thing}.", "{where}, {which}.",
                       "{adverb}."),
    "opening": ("then", "now", "at last", "again", "after that", "in the {noun}", "once more",
                "that {noun}", "all the same", "still", "yet", "every {noun}", "here",
                "soon", "perhaps", "by this time", "before long", "{adverb}"),
    "linked": ("{the_thing} {happened}", "{he} {did}", "{companion} {did}",
               "they {they_did}", "the {nouns} {they_did}", "there was {a_thing}",
               "nothing {happened}", "it was {adjective}", "there were {things}"),
    "but": ("and", "but", "for", "though", "because", "so that", "while", "since", "or else"),
    "which": ("and {he} {did}", "which {happened}", "where {the_thing} {happened}",
              "as {adjective} as {a_thing}", "like {a_thing}", "which {he} had {done_to}",
              "whose {nouns} were {adjective}", "with {his} {nouns} and {his} {noun}"),
    "aside": ("like {a_thing}", "for {he} was {adjective}", "{companion} had {done}",
              "not {a_thing}, {but} {a_thing}", "it was {adjective}", "{the_thing}, that is"),
    "adverb_of_time": ("all", "both", "still", "only", "also", "never", "always", "often",
                       "almost", "sometimes"),
    "more": ("more", "less", "no more", "much more", "even more"),
    "one_of": ("one of", "each of", "only one of", "not one of", "another of"),
    "subject": ("{focus}", "{he}", "the {adjective_noun}", "{he}", "{focus}", "some {noun}",
                "{his} {noun}", "everyone", "that {noun}", "another {noun}"),
    "did": (
        "{saw} {thing}", "{went} {where}", "{saw} {thing} {where}", "{went} {where} to {do}",
        "{saw} {thing} and {saw} {thing}", "had {done}", "was {adjective}", "did not {do}",
        "began to {do}", "said that {the_thing} {happened}", "{adverb} {saw} {thing}",
        "{went} {adverb}", "was {adjective} with {thing}", "would not {do}", "must {do}",
        "thought that {the_thing} was {adjective}", "looked at {thing}", "could {do}",
        "made {thing} {adjective}", "seemed to {do}", "never {saw} {thing}", "came to {do}",
        "felt {adjective}", "knew how to {do}", "might have {done}", "was about to {do}",
        "tried to {do}", "asked for {thing}", "told {companion} to {do}",
    ),
    "do": ("{see} {thing}", "{go} {where}", "{see} {thing} {where}", "{go}", "be {adjective}",
           "have {thing}", "{see} it", "say so"),
    "done": ("{seen} {thing}", "{gone} {where}", "{seen} {thing} {where}", "been {adjective}",
             "{gone}", "{seen} it", "been {gone_on} {where}"),
    "done_to": ("{seen}", "{seen} {where}", "ever {seen}", "not {seen}"),
    "doing": ("{seeing} {thing}", "{gone_on} {where}", "without {seeing} {thing}",
              "being {adjective}", "having {done}"),
    "happened": ("{went} {where}", "was {adjective}", "{went} {where} and {saw} {thing}",
                 "{went} like {a_thing}", "{saw} {thing}", "was {seen} by {thing}", "{went}",
                 "had {gone} {where}", "{went} as {adverb} as {a_thing}", "did not {go}"),
    "they_did": ("{saw} {thing}", "{went} {where}", "were {adjective}", "{went}",
                 "had {done}", "were {seen} {where}", "would {do}", "{went} from {place}"),
    "happened_before": ("{gone} {where}", "been {adjective}", "{gone}", "been {seen}"),
}  # fmt: skip

_NOUN_PHRASES: dict[str, tuple[str, ...]] = {
    "thing": ("{the_thing}", "{a_thing}", "{his} {noun}", "the {noun}", "{companion}",
              "{his} {adjective_noun}", "the {nouns}", "{things}", "it", "them",
              "everything", "{himself}", "something {adjective}", "{nouns}"),
    "the_thing": (
        "the {noun}", "the {adjective_noun}", "the {noun} of the {noun}", "its {noun}",
        "{focus}’s {noun}", "this {noun}", "that {noun}", "{his} {noun}",
        "{companion}’s {noun}", "every {noun}", "the {noun} that {he} had {seen}",
        "some {noun}", "the {noun} of {place}", "{his} own {adjective_noun}", "the same {noun}",
        "such a {noun}", "their {noun}", "no {noun}", "the other {noun}", "the first {noun}",
        "any {noun}", "the last {noun}", "each {noun}",
    ),
    "a_thing": ("a {noun}", "a {adjective_noun}", "a {noun} of {nouns}", "a {noun} of the {noun}",
                "a {noun} from {place}", "a {adjective}, {adjective_noun}", "a kind of {noun}",
                "another {noun}", "one {noun}"),
    "things": ("two {nouns}", "many {nouns}", "three {nouns}", "a few {adjective} {nouns}",
               "{nouns} and {nouns}", "a hundred {nouns}", "these {nouns}", "those {nouns}"),
    "where": ("{preposition} {the_thing}", "{preposition} {a_thing}", "{preposition} {nouns}",
              "{preposition} {place}", "in the {noun}", "to the {noun}", "{preposition} {him}",
              "{preposition} it", "out of {the_thing}", "up the {noun}", "down the {noun}",
              "away", "there", "as far as {place}"),
}  # fmt: skip

# Dialogue: present tense, I and you.
_DIALOGUE: dict[str, tuple[str, ...]] = {
    "speech": (
        "“{utterance},” said {speaker}. “{utterance}.”",
        "“{utterance}, {but} {utterance}.”",
        "“{question}?” asked {speaker}.",
        "“{utterance},” {speaker} said, “and {utterance}.”",
        "“{question}? {question}?”",
        "{speaker} {saw} {thing} {where}. “{utterance}.”",
        "“{exclamation}!” cried {speaker}. “{utterance}.”",
        "“{utterance}—” {speaker} {went} {where}. “{utterance}, {but} {utterance}.”",
        "“{exclamation}, {listener},” said {speaker}, {seeing} {thing}. “{question}?”",
    ),
    "utterance": (
        "I {will} {do}", "you {will} {do}, {filler}", "{the_thing} is {adjective}", "I have {done}",
        "it is {a_thing}", "I don’t {do}", "{listener}, you must {do}", "we {will} {do}",
        "I am {adjective}, {but} you are {adjective}", "there is {a_thing} {where}",
        "he {sees} {thing}, {but} it’s {adjective}", "the {nouns} are {adjective}",
        "that’s {a_thing}", "if you {do}, I {will} {do}", "{the_thing} {goes} {where}",
        "it’s my {noun}, and not your {noun}", "they {do}, and I can’t {do}",
        "I never {saw} {a_thing} so {adjective}", "let me {do}", "tell me of the {noun}",
    ),
    "question": (
        "what is {the_thing}", "will you {do}", "where is {the_thing}", "have you {done}",
        "is it {adjective}", "who {saw} {thing}", "do you {do}", "how can I {do}",
        "why are the {nouns} so {adjective}", "are you {adjective}, {listener}",
        "didn’t he {do}",
    ),
    "exclamation": ("oh", "no", "yes", "{listener}", "well", "come", "ah, the {noun}", "my {noun}"),
    "will": ("will", "can", "must", "shall", "should", "would", "may", "cannot", "do not"),
}  # fmt: skip

_HEADINGS: dict[str, tuple[str, ...]] = {
    "title": ("the {noun} of {place}", "{focus} and the {noun}", "a {adjective_noun}",
              "{focus} {went} {where}", "the {nouns}"),
}  # fmt: skip

RULES: dict[str, tuple[str, ...]] = _NARRATION | _NOUN_PHRASES | _DIALOGUE | _HEADINGS
"""All rules; no symbol stands in two of the groups."""
