"""Writes the seeds of the target `saved_model` from tests/frameworks/saved_model.zip.

    python fuzz/make_saved_model_seeds.py

Needs tensorflow 2.21 for its messages. Of a graph only what leads to the output is kept, so that
the seeds are small; they are checked in.
"""

import pathlib
import struct
import tempfile
import zipfile

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2, trackable_object_graph_pb2

HERE = pathlib.Path(__file__).parent
CASES = HERE.parent / "tests" / "frameworks" / "saved_model.zip"
WANTED = ["module", "module-flatten", "keras3-image", "keras2-activations-1", "keras3-celu-last"]
KEPT = {"T", "dtype", "f", "value", "shared_name", "shape", "transpose_b", "shrink_axis_mask"}
CALLS = {"StatefulPartitionedCall", "PartitionedCall"}


def reachable(nodes, roots):
    """The nodes that lead to the roots, in their order."""
    by_name = {node.name: node for node in nodes}
    found, stack = set(), [root.split(":")[0] for root in roots]
    while stack:
        name = stack.pop()
        if name not in found and name in by_name:
            found.add(name)
            inputs = by_name[name].input
            stack += [value.split(":")[0] for value in inputs if not value.startswith("^")]
    return [node for node in nodes if node.name in found]


def lean(node):
    copy = type(node)(name=node.name, op=node.op)
    copy.input.extend(value for value in node.input if not value.startswith("^"))
    for key in KEPT & set(node.attr):
        copy.attr[key].CopyFrom(node.attr[key])
    return copy


def small(model):
    """The same model with one signature and no more nodes than it needs."""
    whole = model.meta_graphs[0]
    result = saved_model_pb2.SavedModel()
    part = result.meta_graphs.add()
    part.meta_info_def.tags.append("serve")
    signature = whole.signature_def["serving_default"]
    part.signature_def["serving_default"].CopyFrom(signature)
    output = next(iter(signature.outputs.values())).name
    functions = {f.signature.name: f for f in whole.graph_def.library.function}
    top = reachable(whole.graph_def.node, [output])
    part.graph_def.node.extend(lean(node) for node in top)
    calls = [node.attr["f"].func.name for node in top if node.op in CALLS]
    while calls:
        name = calls.pop()
        old, new = functions[name], part.graph_def.library.function.add()
        new.signature.name = name
        for kind in ("input_arg", "output_arg"):
            for argument in getattr(old.signature, kind):
                getattr(new.signature, kind).add(name=argument.name)
        for key, value in old.ret.items():
            new.ret[key] = value
        nodes = reachable(old.node_def, old.ret.values())
        new.node_def.extend(lean(node) for node in nodes)
        calls += [node.attr["f"].func.name for node in nodes if node.op in CALLS]
        objects = whole.object_graph_def
        if name in objects.concrete_functions:
            bound = objects.concrete_functions[name].bound_inputs
            part.object_graph_def.concrete_functions[name].bound_inputs.extend(bound)
    for node in whole.object_graph_def.nodes:
        copy = part.object_graph_def.nodes.add()
        if node.WhichOneof("kind") == "variable":
            copy.variable.name = node.variable.name
    return result


def seed(name, folder):
    model = saved_model_pb2.SavedModel()
    model.ParseFromString((folder / "saved_model.pb").read_bytes())
    checkpoint = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    old = trackable_object_graph_pb2.TrackableObjectGraph()
    old.ParseFromString(checkpoint.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
    model = small(model)
    bound = next(iter(model.meta_graphs[0].object_graph_def.concrete_functions.values()))
    used, tensors = sorted(set(bound.bound_inputs)), b""
    new, count = trackable_object_graph_pb2.TrackableObjectGraph(), 0
    for number, node in enumerate(old.nodes):
        copy = new.nodes.add()
        if number in used and node.attributes:
            attribute = node.attributes[0]
            array = checkpoint.get_tensor(attribute.checkpoint_key)
            added = {"name": attribute.name, "full_name": attribute.full_name}
            copy.attributes.add(**added, checkpoint_key=f"k{count}")
            count += 1
            tensors += bytes([array.ndim, *array.shape]) + array.astype("<f4").tobytes()
    graph, objects = model.SerializeToString(deterministic=True), new.SerializeToString()
    directory = HERE / "corpus" / "saved_model"
    directory.mkdir(parents=True, exist_ok=True)
    sizes = struct.pack("<BHH", 2, len(graph), len(objects))
    (directory / f"seed-{name}").write_bytes(sizes + graph + objects + tensors)
    if name == "module":
        files = ["variables.index", "variables.data-00000-of-00001"]
        index, data = ((folder / "variables" / file).read_bytes() for file in files)
        sizes = struct.pack("<BHH", 0, len(graph), len(index))
        (directory / f"seed-{name}-raw").write_bytes(sizes + graph + index + data)


if __name__ == "__main__":
    with zipfile.ZipFile(CASES) as cases, tempfile.TemporaryDirectory() as folder:
        cases.extractall(folder)
        for case in WANTED:
            seed(case, pathlib.Path(folder) / case / "model")
