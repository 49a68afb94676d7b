"What every golden case does alike: read the folder, compare one named tensor, remember the error."
import json
import re
from pathlib import Path

from safetensors.torch import load_file


class Reference:
    "A case's facts, tensors and tolerance, and the largest error found for each tensor compared."
    def __init__(self, folder:Path):
        self.info = json.loads((Path(folder)/'README.json').read_text())
        self.rtol, self.atol = map(float, re.findall(r'1e-\d', self.info['tolerance']))
        self.data, self.errors = load_file(Path(folder)/'data.safetensors'), {}

    def same(self, name, got):
        "Compare with tensor `name`; the error is relative to the tolerance's scale."
        want = self.data[name]
        assert got.shape == want.shape, f'{name}: {tuple(got.shape)} instead of {tuple(want.shape)}'
        error = ((got - want).abs()/(want.abs() + self.atol/self.rtol)).max().item() if want.numel() else 0.
        self.errors[name] = error
        assert error <= self.rtol, f'{name}: error {error:.2e}'
