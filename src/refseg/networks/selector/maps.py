"""Cells, coordinates and the length unit of Selector's maps.

The 1/8 map holds one cell per possible object; centres lie at s * i + (s - 1) / 2 in cell i of a map at 1/s.
"""

import math

import torch
from torch import Tensor

from refseg.batch import Objects


def true_cells(objects: Objects, rows: int, columns: int) -> Tensor:
    """Returns the cell (B, N) int64 of the flattened 1/8 map that holds each true centre."""
    column, row = ((objects.centres.float() + 0.5) / 8).floor().long().unbind(-1)
    return row.clamp(0, rows - 1) * columns + column.clamp(0, columns - 1)


def gather_cells(values: Tensor, cells: Tensor) -> Tensor:
    """Gathers the values (B, Q, C) of a map (B, C, h, w) in cells (B, Q) of the flattened map."""
    return values.flatten(2).mT.gather(1, cells.unsqueeze(-1).expand(-1, -1, values.shape[1]))


def pixels(count: int, stride: int, like: Tensor) -> Tensor:
    """Returns the coordinates (count,) in image pixels of the cells of a map at 1 / stride."""
    return torch.arange(count, device=like.device, dtype=torch.float32) * stride + (stride - 1) / 2


def cell_places(rows: int, columns: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Returns row and column (rows * columns,) int64 of each cell of a flattened map."""
    row, column = torch.arange(rows, device=like.device), torch.arange(columns, device=like.device)
    return row[:, None].expand(rows, columns).flatten(), column.expand(rows, columns).flatten()


def length_unit(size_hw: tuple[int, int]) -> float | Tensor:
    """Returns the length unit u in pixels; a tensor where the size is a symbol, in an export for any size."""
    area = size_hw[0] * size_hw[1]
    if isinstance(area, torch.SymInt):
        return torch.scalar_tensor(area, dtype=torch.float32).sqrt() / 128
    return math.sqrt(area) / 128
