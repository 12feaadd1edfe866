"""The network in PyTorch, for its two peers."""

import torch
from network import activation

KNOWN = {
    "identity": None,
    "relu": torch.nn.ReLU,
    "sigmoid": torch.nn.Sigmoid,
    "tanh": torch.nn.Tanh,
}


def sequential(network) -> torch.nn.Sequential:
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    modules = []
    for weight, bias, name in network.layers():
        outputs, inputs = weight.shape
        linear = torch.nn.Linear(inputs, outputs, bias=bias is not None)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(weight))
            if bias is not None:
                linear.bias.copy_(torch.tensor(bias))
        function = activation(name, KNOWN)
        modules += [linear] + ([function()] if function else [])
    return torch.nn.Sequential(*modules).eval()


def caller(model):
    """Runs rows where they lie; scores are a view of the result."""

    def call(rows):
        with torch.inference_mode():
            return model(torch.from_numpy(rows)).numpy()

    return call
