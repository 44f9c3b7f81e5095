"""A tiny base on disk, with a vocabulary of bytes, and a configuration that is run in a second."""

import pytest
import torch
from safetensors.torch import save_file

from decouple.data import CorpusConfig
from decouple.data.token_files import write_tokens
from decouple.experiments.sequential_cycles import SequentialCyclesConfig
from decouple.models.gpt2 import build_gpt2
from decouple.models.gpt2_config import BaseModelConfig, BaseShape

SHAPE = BaseShape(layers=2, width=16, heads=2, context=24, vocab_size=256)


@pytest.fixture(scope="session")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    generator = torch.Generator().manual_seed(0)
    model = build_gpt2(SHAPE, generator)
    with torch.no_grad():  # states with a direction in common, as those of a real model have
        model.transformer.ln_f.bias.normal_(generator=generator)
    model.config.save_pretrained(folder)
    save_file(dict(model.named_parameters()), folder / "model.safetensors", {"format": "pt"})
    write_tokens(folder / "tokens.txt", [bytes([value]) for value in range(256)])
    return SequentialCyclesConfig(
        base=BaseModelConfig(kind="directory", name="", path=str(folder)),
        corpus=CorpusConfig(words=800),
        cycles=3,
        steps_per_cycle=4,
        batch=2,
        block=8,
        chunk_tokens=200,
        learning_rate=1e-2,
        held_out_windows=5,
        generation_cycles=(0, 3),
        generation_tokens=4,
        group=2,
    )
