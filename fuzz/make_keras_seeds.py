"""Writes the seeds of the target `keras` from tests/frameworks/keras.zip.

    python fuzz/make_keras_seeds.py

The seeds are checked in, and so are the weights that the target puts around configurations.
"""

import io
import pathlib
import zipfile

HERE = pathlib.Path(__file__).parent
CASES = HERE.parent / "tests" / "frameworks" / "keras.zip"

HDF5 = [
    "2-batch-norm/model/model.h5",
    "2-weights-plain/model/saved.h5",
    "3-weights-norm/model/model.weights.h5",
    "3-stored-latest-gzip/model/model.h5",
]
CONFIGS = [
    "3-nested",
    "3-functional",
    "3-batch-norm",
    "3-image",
    "3-normalization-stated",
    "3-layer-within",
    "2-archive-functional-nested",
]


def seed(name, data):
    folder = HERE / "corpus" / "keras"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed-{name}").write_bytes(data)


def main():
    with zipfile.ZipFile(CASES) as cases:
        for path in HDF5:
            seed(path.split("/")[0], cases.read(path))
        for name in CONFIGS:
            archive = cases.read(f"{name}/model/model.keras")
            with zipfile.ZipFile(io.BytesIO(archive)) as members:
                seed(f"config-{name}", members.read("config.json"))
        archive = cases.read("3-batch-norm/model/model.keras")
        with zipfile.ZipFile(io.BytesIO(archive)) as members:
            (HERE / "weights.h5").write_bytes(members.read("model.weights.h5"))


if __name__ == "__main__":
    main()
