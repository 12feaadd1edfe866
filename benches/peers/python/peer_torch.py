"""PyTorch, eagerly."""

import torch
from torch_network import caller, sequential


def load(network):
    return f"PyTorch {torch.__version__}, eager", caller(sequential(network))
