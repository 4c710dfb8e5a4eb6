"""Multi-head attention."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.blocks.autocast import full_precision, layer_dtype

MAX_NARROW_HEAD = 32  # channels, see `attend_heads`


def attend(
    query: Tensor, key: Tensor, value: Tensor, heads: int, dropout: float = 0.0, key_mask: Tensor | None = None
) -> Tensor:
    """Computes softmax(query key^T / sqrt(C / heads)) value in groups of C / heads neighbouring channels.

    The fused kernel never stores the N x L attentions. Measured on a CPU (AVX-512, one thread, torch 2.15,
    8 heads of 96 channels) against softmax between two products, in float32 and in bfloat16: 0.42 and 0.27 of the time
    for self-attention of 3600 pixels, 0.90 and 0.30 for 900 pixels, 0.67 and 0.40 for 20 words, 1.10 and 0.58 for 3600
    pixels on 20 words. At 3600 pixels, chunks of 64 to 256 queries were slower than the fused kernel too.

    Args:
        query: (B, N, C).
        key: (B, L, C).
        value: (B, L, C).
        heads: number of groups.
        dropout: probability of dropping an attention weight.
        key_mask: (B, L), True at keys that are attended; None for all.

    Returns:
        (B, N, C).
    """
    query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    mask = None if key_mask is None else key_mask[:, None, None]
    return attend_heads(query, key, value, mask, dropout).transpose(1, 2).flatten(2)


def attend_heads(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, dropout: float = 0.0) -> Tensor:
    """Computes softmax(query key^T / sqrt(C)) value for each head.

    Where a CPU trains narrow heads in bfloat16 this is in float32: the fused kernel's backward pass in bfloat16 is slow
    there. Measured (AVX-512 and AMX, one thread, torch 2.15, 32 x 4 heads of 12 channels, both passes): 0.28 of the
    time for 256 pixels on 14 words, 0.56 for 256 pixels; with 64 channels bfloat16 is the faster.

    Args:
        query: (B, heads, N, C).
        key: (B, heads, L, C).
        value: (B, heads, L, C).
        mask: (..., N, L), True at keys that are attended; None for all.
        dropout: probability of dropping an attention weight.

    Returns:
        (B, heads, N, C).
    """
    is_trained = query.device.type == "cpu" and torch.is_grad_enabled()
    if not (is_trained and query.shape[-1] <= MAX_NARROW_HEAD and layer_dtype(query) == torch.bfloat16):
        return F.scaled_dot_product_attention(query, key, value, mask, dropout)
    with full_precision(query):
        attended = F.scaled_dot_product_attention(query.float(), key.float(), value.float(), mask, dropout)
    return attended.bfloat16()


class Attention(nn.Module):
    """Multi-head attention with its linear layers."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.into = nn.Linear(width, 3 * width)  # queries, keys, values
        self.out = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.into.weight)
        nn.init.zeros_(self.into.bias)
        nn.init.zeros_(self.out.bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """Attends from queries (M, N, C) to keys and values (M, T, C); key_mask (M, T) is True at attended keys."""
        weights, biases = self.into.weight.chunk(3), self.into.bias.chunk(3)
        given = zip((query, key, value), weights, biases, strict=True)
        query, key, value = (F.linear(x, weight, bias) for x, weight, bias in given)
        return self.out(self.attend(query, key, value, key_mask))

    def attend(self, query: Tensor, key: Tensor, value: Tensor, key_mask: Tensor | None) -> Tensor:
        """Computes the attention between the linear layers."""
        return attend(query, key, value, self.heads, self.dropout * self.training, key_mask)
