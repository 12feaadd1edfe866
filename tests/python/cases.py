"""Cases of models that a framework wrote, packed into one zip for tests/frameworks/.

Each case is a folder of the zip: `model/` as the framework wrote it, `rows.f32` and `scores.f32`
(little-endian, row-major) as the framework computed them, and `case.json`: which path under
`model/` to load, what a user has to say about it, and, where it must be refused, a part of the
error instead of scores.
"""

import json
import pathlib
import zipfile

import numpy as np

FOLDER = pathlib.Path(__file__).parent.parent / "frameworks"


class Cases:
    """The cases of one zip in the making; the same cases give the same bytes."""

    def __init__(self, name):
        self.path = FOLDER / f"{name}.zip"
        self.members = {}
        self.count = 0

    def add(self, name, model, rows, scores, load="", **said):
        """A model that must give `scores` for `rows`, both [rows, values].

        `model` is a folder or a dictionary from file name to bytes; `load` is the path in it that
        is opened, the whole folder where it is empty. `said` is what a user says: activation,
        final, order (a list of names), layout, external_data.
        """
        self._pack(name, model, {"load": load, **said})
        for what, numbers in (("rows", rows), ("scores", scores)):
            array = np.ascontiguousarray(numbers, dtype="<f4")
            assert array.ndim == 2 and len(array) == len(rows), (name, what, array.shape)
            self.members[f"{name}/{what}.f32"] = array.tobytes()

    def refuse(self, name, model, part, load="", **said):
        """A model that must be refused by an error that contains `part`."""
        self._pack(name, model, {"load": load, "refused": part, **said})

    def _pack(self, name, model, case):
        assert f"{name}/case.json" not in self.members, name
        self.count += 1
        if not isinstance(model, dict):
            folder = pathlib.Path(model)
            files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
            model = {str(path.relative_to(folder)): path.read_bytes() for path in files}
        for file, data in model.items():
            self.members[f"{name}/model/{file}"] = data
        self.members[f"{name}/case.json"] = json.dumps(case, sort_keys=True).encode()

    def write(self):
        self.path.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(self.path, "w") as archive:
            for name in sorted(self.members):
                info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, self.members[name], compresslevel=9)
        print(f"{self.path.name}: {self.count} cases, {self.path.stat().st_size} bytes")
