"What every golden case does alike: read the folder, make the recipe's weights, compare a named tensor, remember the error."
import json
import re
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file


def tolerances(text)->tuple:
    "The rtol and atol that a case states; what it does not state is zero."
    found = dict(re.findall(r'([ra])tol ([\d.]+e[+-]?\d+)', text))
    if not found: raise ValueError(f'no tolerance in {text!r}')
    return float(found.get('r', 0)), float(found.get('a', 0))


def recipe_value(key, shape):
    "The weight that every README's recipe gives to `key`; None for a single number, which stays as it is made."
    v = np.random.RandomState(zlib.crc32(key.encode()) & 0xffffffff).standard_normal(tuple(shape)).astype(np.float32)
    if v.ndim >= 2: return torch.from_numpy(v*np.float32(1/np.sqrt(np.prod(shape[1:]))))
    if v.ndim == 1: return torch.from_numpy(np.float32(key.endswith('weight')) + np.float32(0.1)*v)
    return None


class Reference:
    "A case's facts, tensors and tolerance, and the largest error found for each tensor compared."
    def __init__(self, folder:Path):
        self.info = json.loads((Path(folder)/'README.json').read_text())
        self.rtol, self.atol = tolerances(self.info['tolerance'])
        self.data, self.errors = load_file(Path(folder)/'data.safetensors'), {}

    def same(self, name, got, want=None):
        "Compare with tensor `name`, or with `want`; the error is relative to the tolerance's scale."
        want = self.data[name] if want is None else want
        assert got.shape == want.shape, f'{name}: {tuple(got.shape)} instead of {tuple(want.shape)}'
        if not want.is_floating_point():
            assert torch.equal(got, want), f'{name} differs'
            self.errors[name] = 0.
            return
        # Where no atol is stated, what counts is a tensor's own size: the smallest entries of a gradient are rounding.
        floor = self.atol/self.rtol if self.atol else want.abs().max().item() if want.ndim else 0.
        error = ((got - want).abs()/(want.abs() + floor).clamp(min=1e-30)).max().item() if want.numel() else 0.
        self.errors[name] = error
        assert error <= self.rtol, f'{name}: error {error:.2e} > {self.rtol:.0e}'
