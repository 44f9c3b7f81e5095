"""GPT-2 through `transformers`: loaded offline and strictly, with a look at its inner states.

A model of the hub, of a folder, and a stand-in are all read by `load_base`. What is measured or
trained takes its parameters apart from the model, so that one architecture serves many sets of
them, with `torch.func.vmap` over a stack. `named_parameters` holds `transformer.wte.weight` only:
the head is tied to it. Moved to the meta device a model would lose that tie, and in
`functional_call` its head would be read from nowhere: leave it where it is.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.utils import logging as transformers_logging

from decouple.models.gpt2_config import (
    BaseModelConfig,
    BaseShape,
    base_folder,
    base_shape,
    missing_base,
)
from decouple.models.gpt2_stream import PREFIX, final_norm, states_after_blocks


class Stream(NamedTuple):
    """States of the residual stream."""

    blocks: tuple[Tensor, ...]
    """After each block, L times (B, T, C)."""

    after: Tensor
    """After the final LayerNorm, (B, T, C): what the head multiplies."""


class FinalStates(NamedTuple):
    """States at the end of the network, (B, T, C) each."""

    before: Tensor
    """After the last block, before the final LayerNorm."""

    after: Tensor
    """After the final LayerNorm: what the head multiplies."""


def load_base(config: BaseModelConfig) -> GPT2LMHeadModel:
    """Load the base, from this machine only.

    Args:
        config: Hub id, directory or stand-in.

    Returns:
        The model in float32 and eval mode, on the CPU; no dropout, no cache of keys and values,
        attention written out, which `vmap` and double backward need.

    Raises:
        FileNotFoundError: The base is not on this machine; says how to get it.
        ValueError: A file is damaged, weights are missing, or it is no GPT-2 with a tied head.
    """
    folder = base_folder(config)
    if folder is None:
        raise FileNotFoundError(missing_base(config))
    shape = base_shape(config)
    try:
        with _quiet():
            settings = GPT2Config.from_pretrained(folder, local_files_only=True)
            _check_variant(settings)
            settings.update(_SETTINGS | _token_ids(settings, shape.vocab_size))
            read: Any = GPT2LMHeadModel.from_pretrained  # typed as if it gave no report
            model, report = read(
                folder,
                config=settings,
                attn_implementation="eager",
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                ignore_mismatched_sizes=True,  # so that the report below says which they are
                output_loading_info=True,
            )
    except Exception as error:  # several libraries read the files, each with errors of its own
        raise ValueError(f"base {str(folder)!r} cannot be read: {error}") from error
    # What is not in the file would have been drawn at random.
    for fault in ("missing_keys", "mismatched_keys"):
        if report[fault]:
            names = sorted(str(name) for name in report[fault])
            raise ValueError(
                f"base {str(folder)!r} must hold every weight of its config.json, got "
                f"{fault.replace('_', ' ')}: {', '.join(names[:3])} ({len(names)} in all)"
            )
    loaded: GPT2LMHeadModel = model
    loaded.train(False)
    return loaded


def build_gpt2(
    shape: BaseShape, generator: torch.Generator, *, attention: str = "eager"
) -> GPT2LMHeadModel:
    """A new model, drawn from a generator and from nothing else.

    Weights are normal with standard deviation 0.02, divided by √(2L) in the two projections of each
    block that write into the residual stream; biases 0, LayerNorm the identity (Radford et al.
    2019, section 2.3; released code for the 0.02).

    Args:
        shape: Its size.
        generator: Source of the weights, on the CPU.
        attention: Implementation by the library's name; `eager` works under `vmap`, `sdpa` is fast.
    """
    settings = GPT2Config(
        n_layer=shape.layers,
        n_embd=shape.width,
        n_head=shape.heads,
        n_positions=shape.context,
        vocab_size=shape.vocab_size,
        bos_token_id=None,
        eos_token_id=None,
        architectures=["GPT2LMHeadModel"],
        dtype="float32",
        **_SETTINGS,
    )
    settings._attn_implementation = attention
    model = GPT2LMHeadModel(settings)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".bias"):
                parameter.zero_()
            elif ".ln_" in name:
                parameter.fill_(1.0)
            else:
                std = 0.02
                if name.endswith("c_proj.weight"):
                    std /= math.sqrt(2 * shape.layers)
                parameter.normal_(0.0, std, generator=generator)
    model.train(False)
    return model


@torch.no_grad()
def apply_gauge_shift(model: GPT2LMHeadModel, vector: Tensor) -> None:
    """Add a vector to every token embedding and take it from every position embedding, in place.

    The sum of both, which is what the blocks see, stays as it was; every logit of a position moves
    by the same h·v, which the softmax does not notice. The function of the model is unchanged, and
    yet the cosine between a state and a row of the embedding is another.

    Args:
        model: With a tied head.
        vector: (C,).

    Raises:
        ValueError: The vector has another shape.
    """
    width = model.config.n_embd
    if vector.shape != (width,):
        raise ValueError(f"vector must have shape ({width},), got {tuple(vector.shape)}")
    model.transformer.wte.weight.add_(vector)
    model.transformer.wpe.weight.sub_(vector)


def stream(
    model: GPT2LMHeadModel,
    tokens: Tensor,
    parameters: Mapping[str, Tensor] | None = None,
    *,
    injected: Mapping[int, Tensor] | None = None,
) -> Stream:
    """States of the residual stream; the head is not computed.

    Args:
        model: Architecture, and parameters where none are given: then also those that an enclosing
            `functional_call` has put into it.
        tokens: (B, T) token ids.
        parameters: Parameters by name as in `model.named_parameters()`; under `vmap`, those of one
            model.
        injected: Block index to a vector (C,), or anything that broadcasts to (B, T, C), added to
            the stream after that block. What a state shows includes it.

    Raises:
        ValueError: There is no such block.
    """
    settings = model.config
    injected = injected or {}
    unknown = [index for index in injected if not 0 <= index < settings.n_layer]
    if unknown:
        raise ValueError(
            f"injected must name blocks from 0 to {settings.n_layer - 1}, got {unknown[0]}"
        )
    if parameters is None:
        parameters = dict(model.named_parameters())
    epsilon = settings.layer_norm_epsilon
    blocks = states_after_blocks(
        parameters,
        tokens,
        layers=settings.n_layer,
        heads=settings.n_head,
        epsilon=epsilon,
        injected=injected,
    )
    return Stream(tuple(blocks), final_norm(parameters, blocks[-1], epsilon))


def residual_stream(
    model: GPT2LMHeadModel,
    tokens: Tensor,
    parameters: Mapping[str, Tensor] | None = None,
    *,
    injected: Mapping[int, Tensor] | None = None,
) -> Tensor:
    """States after every block as one tensor (L, B, T, C); arguments as for `stream`."""
    return torch.stack(stream(model, tokens, parameters, injected=injected).blocks)


def final_states(
    model: GPT2LMHeadModel,
    tokens: Tensor,
    parameters: Mapping[str, Tensor] | None = None,
    *,
    injected: Mapping[int, Tensor] | None = None,
) -> FinalStates:
    """States before and after the final LayerNorm; arguments as for `stream`."""
    states = stream(model, tokens, parameters, injected=injected)
    return FinalStates(states.blocks[-1], states.after)


def final_logits(
    model: GPT2LMHeadModel, after: Tensor, parameters: Mapping[str, Tensor] | None = None
) -> Tensor:
    """Logits (..., V) of states (..., C) after the final LayerNorm: h Wᵀ with the tied W."""
    name = f"{PREFIX}wte.weight"
    embedding = model.transformer.wte.weight if parameters is None else parameters[name]
    return after @ embedding.T


_SETTINGS: dict[str, Any] = {
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
    "summary_first_dropout": 0.0,
    "use_cache": False,
}


def _token_ids(settings: GPT2Config, vocab_size: int) -> dict[str, None]:
    """Special tokens that a small vocabulary does not have, set to none."""
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    values = {name: getattr(settings, name, None) for name in names}
    return {
        name: None
        for name, value in values.items()
        if not (isinstance(value, int) and value < vocab_size)
    }


def _check_variant(settings: GPT2Config) -> None:
    """Refuse options under which the written-out stream would be another function."""
    wanted = {
        "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
        "add_cross_attention": (False,),
    }
    for name, values in wanted.items():
        if (found := getattr(settings, name)) not in values:
            raise ValueError(f"{name} must be {values[0]!r}, got {found!r}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library from logging and from drawing progress bars; faults are raised instead."""
    logging: Any = transformers_logging  # in part untyped
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
