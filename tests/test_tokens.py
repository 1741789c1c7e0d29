"""Texts as numbers of tokens, and attention heads as units."""

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.data import TensorDataset

from eric_fast.capture import capture_activations, open_data, wrap_model
from eric_fast.errors import ModelError
from eric_fast.explain import explain_image
from eric_fast.runs import approximate_model, evaluate_program

N, N_TOKENS, WIDTH, N_HEADS = 60, 12, 24, 4
TEXTS = torch.randint(0, 50, (N, N_TOKENS), generator=torch.Generator().manual_seed(0))
DATA = TensorDataset(TEXTS, torch.zeros(N, dtype=torch.int64))


class Attention(nn.Module):
    def __init__(self, is_written_out):
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.heads = nn.Identity()
        self.is_written_out = is_written_out

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(2, (3, N_HEADS, -1)).permute(2, 0, 3, 1, 4)
        if self.is_written_out:
            scores = q @ k.transpose(2, 3) / (WIDTH // N_HEADS) ** 0.5
            found = scores.softmax(3) @ v
        else:
            found = scaled_dot_product_attention(q, k, v)
        return self.out(self.heads(found).transpose(1, 2).flatten(2))


class Encoder(nn.Module):
    """A text encoder of one block."""

    def __init__(self, is_written_out=False):
        super().__init__()
        torch.manual_seed(1)
        self.tokens = nn.Embedding(50, WIDTH)
        self.norm, self.attention = nn.LayerNorm(WIDTH), Attention(is_written_out)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, texts):
        x = self.tokens(texts)
        x = x + self.attention(self.norm(x))
        return self.head(x.mean(1))


@torch.no_grad()
def find_heads(network):
    found = []
    handle = network.attention.heads.register_forward_hook(lambda module, given, result: found.append(result))
    network(TEXTS)
    handle.remove()
    return found[0]


@pytest.mark.parametrize("data", [DATA, [{"input_ids": text, "label": 0} for text in TEXTS]])
def test_numbers_of_tokens_reach_the_network_as_they_are(data):
    network = Encoder().eval()
    found = capture_activations(network, data, layers=["tokens"], batch_size=N)
    with torch.no_grad():
        assert torch.equal(found.predictions, network(TEXTS).argmax(1))
        assert torch.allclose(found.norms["tokens"], network.tokens(TEXTS).abs().mean(1))


def test_programs_of_texts_are_learned_scored_and_explained():
    network = Encoder().eval()
    found = capture_activations(network, DATA, layers=["attention.out"], norm="mean", batch_size=N)
    program = approximate_model(found, min_leaf=3, threshold="two-sided:mean")
    assert evaluate_program(program, found).fidelity > evaluate_program(program, found).baseline
    explanation = explain_image(program, network, open_data(DATA), 4, with_maps=False)
    assert explanation.model_class == int(found.predictions[4])


def test_attention_heads_are_units():
    network = Encoder().eval()
    found = capture_activations(network, DATA, layers=["attention.heads"], batch_size=N)
    assert torch.allclose(found.norms["attention.heads"], find_heads(network).abs().mean((2, 3)))


def test_heads_that_are_written_out_need_their_axis():
    network = Encoder(is_written_out=True).eval()
    with pytest.raises(ModelError, match=r"gives \[1, 4, 12, 6\], and which axis counts its units isn't known"):
        capture_activations(network, DATA, layers=["attention.heads"])
    model = wrap_model(network, unit_axes={"attention.heads": 1, "attention.softmax": 1})
    found = capture_activations(model, DATA, layers=["attention.heads", "attention.softmax"], norm="max", batch_size=N)
    assert found.n_kernels == {"attention.softmax": N_HEADS, "attention.heads": N_HEADS}
    assert torch.allclose(found.norms["attention.heads"], find_heads(network).amax((2, 3)))
    assert bool((found.norms["attention.softmax"] <= 1).all())
