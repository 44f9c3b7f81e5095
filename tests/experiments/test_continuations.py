"""Continuations: each seed's by its own model, and grades under the base."""

import pytest
import torch
from torch.func import vmap

from decouple.data import TokenizerConfig, build_tokenizer
from decouple.experiments.base_model import PROMPTS
from decouple.experiments.continuations import DECODINGS, Continuations, one_line
from decouple.metrics.text import Coherence, fluency
from decouple.models.gpt2 import build_gpt2, final_logits, final_states
from decouple.models.gpt2_config import BaseShape
from decouple.models.sampling import generate
from decouple.training.ensemble import stack_parameters
from decouple.training.numerics import cpu_numerics

TOKENIZER = build_tokenizer(TokenizerConfig(kind="bytes"), "")
TOKENS = 6
REFERENCE = 5.0


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with cpu_numerics(1):
        yield


def make(seed, context=80):
    shape = BaseShape(layers=1, width=16, heads=2, context=context, vocab_size=256)
    model = build_gpt2(shape, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        model.transformer.wte.weight.mul_(30)  # predictions far from even
    return model


def continuations(base, n_seeds=2, entropy=(4, 1000)):
    return Continuations(
        base,
        TOKENIZER,
        "The lamp had gone out.",
        reference=REFERENCE,
        tokens=TOKENS,
        temperature=0.8,
        entropy=entropy,
        n_seeds=n_seeds,
    )


def logits_of(model):
    def one(parameters, tokens):
        return final_logits(model, final_states(model, tokens, parameters).after, parameters)

    return vmap(one)


def written(base, models, decoding, **options):
    made = continuations(base, len(models), **options)
    return made.by(logits_of(base), stack_parameters(models), decoding)


@pytest.mark.parametrize("decoding", DECODINGS)
def test_each_seed_continues_every_prompt_with_its_own_model(decoding):
    models = [make(0), make(1)]
    found = written(models[0], models, decoding)
    assert [[each.prompt for each in own] for own in found] == [list(map(one_line, PROMPTS))] * 2
    assert all(each.tokens == TOKENS for own in found for each in own)
    assert [each.text for each in found[0]] != [each.text for each in found[1]]
    again = written(models[0], models, decoding)
    assert again == found


def test_greedy_continuations_are_the_likeliest_tokens():
    models = [make(0), make(1)]
    found = written(models[0], models, "greedy")
    for model, own in zip(models, found, strict=True):
        prompts = [torch.from_numpy(TOKENIZER.encode(text)).long() for text in PROMPTS]
        ids = generate(
            lambda tokens, model=model: model(tokens).logits,
            prompts,
            TOKENS,
            context=80,
            temperature=0.0,
        )
        for each, tokens in zip(own, ids, strict=True):
            text = TOKENIZER.decode_bytes(tokens.numpy()).decode("utf-8", errors="replace")
            assert each.text == one_line(text)


def test_draws_come_from_the_entropy():
    base = make(0)
    first, same, other = (
        [each.text for each in written(base, [base], "sampled", entropy=entropy)[0]]
        for entropy in ((4, 1), (4, 1), (4, 2))
    )
    assert first == same
    assert first != other


@pytest.mark.parametrize("context", [80, 24])
def test_fluency_is_taken_under_the_base_and_after_the_prompt(context):
    base, other = make(0, context), make(1, context)
    found = written(base, [other], "greedy")[0]
    prompts = [torch.from_numpy(TOKENIZER.encode(text)).long() for text in PROMPTS]
    added = generate(
        lambda tokens: other(tokens).logits, prompts, TOKENS, context=context, temperature=0.0
    )
    for each, prompt, tokens in zip(found, prompts, added, strict=True):
        window = torch.cat([prompt, tokens])[-context - 1 :][None]
        with torch.no_grad():
            log_p = base(window[:, :-1]).logits.log_softmax(-1)
        loss = -log_p[0, -TOKENS:].gather(-1, tokens[:, None]).mean().item()
        assert each.grades["fluency"] == pytest.approx(fluency(loss, REFERENCE), rel=1e-4)


def test_grades_hang_together():
    for own in written(make(0), [make(0), make(1)], "sampled"):
        for each in own:
            grades = each.grades
            product = grades["distinct_4"] * grades["valid_utf8"] ** 2 * grades["fluency"]
            assert grades["coherence"] == pytest.approx(product * grades["lexicon_share"])
            assert grades["broken"] == 1 - grades["valid_utf8"]
            assert 0 <= grades["looping"] <= 1
            assert 1 <= grades["longest_run"] <= TOKENS
            assert set(Coherence._fields) < set(grades)


def test_an_unknown_decoding_is_refused():
    base = make(0)
    with pytest.raises(ValueError, match="decoding must be one of greedy, sampled, got 'beam'"):
        written(base, [base], "beam")


def test_a_text_is_kept_on_one_line():
    assert one_line("a\nb\\c\t“d” �") == r"a\nb\\c\t“d” �"
