"""Many numbers and some text in few bytes, in a form that a page unpacks without any library."""

import base64
import gzip
import json
from typing import Any

import numpy as np
import torch

LARGEST = 2**15 - 1


def rounded(tensor: torch.Tensor, digits: int = 4) -> tuple[np.ndarray[Any, np.dtype[Any]], float]:
    """Return (whole numbers, scale): the tensor times `scale`, a power of ten, in 16 bits; no finite number is 0.

    digits  how many digits after the point are kept; fewer, where the largest number would not fit
    """
    numbers = torch.nan_to_num(tensor.double(), 0.0, 0.0, 0.0).numpy()
    scale = 10.0**digits
    while np.abs(numbers).max(initial=0) * scale > LARGEST:
        scale /= 10
    return np.rint(numbers * scale).astype("<i2"), scale


class Pack:
    """Collects tensors; `add` returns what stands for one in the text that goes with them."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._length = 0

    def add(self, tensor: torch.Tensor, digits: int = 4) -> dict[str, Any]:
        """Return {"shape", "scale", "at"} of a tensor, rounded."""
        numbers, scale = rounded(tensor, digits)
        about = {"shape": list(numbers.shape), "scale": scale, "at": self._length}
        # All low bytes, then all high ones, which are alike: gzip finds a quarter more.
        self._parts.append(numbers.reshape(-1).view("u1").reshape(-1, 2).T.tobytes())
        self._length += 2 * numbers.size
        return about

    def pack(self, text: Any) -> str:
        """Return all that was added and `text` (anything that JSON can hold) as base64, the same in every run."""
        head = json.dumps(text, separators=(",", ":"), ensure_ascii=False).encode()
        whole = len(head).to_bytes(4, "little") + head + b"".join(self._parts)
        return base64.b64encode(gzip.compress(whole, 9, mtime=0)).decode()


def unpack(packed: str) -> tuple[Any, bytes]:
    """Return (text, bytes of the numbers) of what `pack` returned."""
    whole = gzip.decompress(base64.b64decode(packed))
    end = 4 + int.from_bytes(whole[:4], "little")
    return json.loads(whole[4:end]), whole[end:]
