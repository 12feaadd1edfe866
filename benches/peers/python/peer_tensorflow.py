"""TensorFlow, a SavedModel written, loaded again and called through its signature."""

import tensorflow as tf
from network import activation

KNOWN = {
    "identity": None,
    "relu": tf.nn.relu,
    "sigmoid": tf.math.sigmoid,
    "tanh": tf.math.tanh,
}


class Classifier(tf.Module):
    """A chain of dense layers."""

    def __init__(self, network) -> None:
        super().__init__()
        self.layers = [
            (tf.Variable(weight.T), None if bias is None else tf.Variable(bias))
            for weight, bias, _ in network.layers()
        ]
        self.functions = tuple(activation(name, KNOWN) for _, _, name in network.layers())

    def run(self, rows):
        x = rows
        for (weight, bias), function in zip(self.layers, self.functions):
            x = tf.linalg.matmul(x, weight)
            x = x if bias is None else tf.nn.bias_add(x, bias)
            x = x if function is None else function(x)
        return {"scores": x}


def load(network):
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    module = Classifier(network)
    rows = tf.TensorSpec([None, network.inputs], tf.float32, name="rows")
    folder = str(network.folder / "saved_model")
    signature = tf.function(module.run, input_signature=[rows])
    tf.saved_model.save(module, folder, signatures={"serving_default": signature})
    loaded = tf.saved_model.load(folder)
    scorer = loaded.signatures["serving_default"]
    # A signature does not keep the variables that it reads.
    scorer.loaded = loaded

    def call(rows):
        return scorer(rows=tf.constant(rows))["scores"].numpy()

    return f"TensorFlow {tf.__version__}, SavedModel", call
