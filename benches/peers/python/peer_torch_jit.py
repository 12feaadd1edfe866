"""PyTorch, traced and frozen by TorchScript."""

import torch
from torch_network import caller, sequential


def load(network):
    model = sequential(network)
    with torch.inference_mode():
        traced = torch.jit.trace(model, torch.zeros(2, network.inputs))
        frozen = torch.jit.freeze(traced)
    return f"PyTorch {torch.__version__}, torch.jit", caller(frozen)
