"""CMIRNet's cross-graph interactive positioning (CGIP): Eqs. (7) to (14), on the coarsest stage.

`CGIP` runs cross-graph interaction, `CGI` (edges between pixels and their nearest words), and then intra-graph
reasoning, `IGR` (among pixels).

Departs    As the release does:
           Eq. (7)    the original words pass an instance norm over all positions, padding included, and a ReLU before
                      the new words of all guided stages are added.
           Eq. (8)    edges hold the pixel and the word minus the pixel, under a 3 x 3 convolution over (pixel, rank of
                      its word); the paper: the pixel and the pixel minus the word, a convolution. Padding words may be
                      nearest.
           Eq. (11)   query and key are exchanged, and the softmax is over the other axis: the same but for names.
           Eq. (14)   self-attention of several heads; the paper: one affinity, weighted by a learnt matrix of the
                      map's size, which would fix the image's.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.blocks.attention import attend
from refseg.blocks.autocast import full_precision
from refseg.blocks.convolution import conv_norm
from refseg.blocks.pixel_sequence import instance_norm
from refseg.networks.cmirnet.config import CGIConfig, CGIPConfig, CMIRNetConfig, CrossAttentionConfig, IGRConfig
from refseg.networks.cmirnet.guidance import map_of, pixels_of


class CGIP(nn.Module):
    """Cross-graph interactive positioning: the referent's key pixels on the coarsest stage."""

    def __init__(self, config: CGIPConfig | CrossAttentionConfig, channels: int, text: int, width: int):
        super().__init__()
        self.visual = conv_norm(channels, width, 3, bias=True)
        self.text: nn.Linear | None = nn.Linear(text, width)
        self.interact: nn.Module | None
        self.igr: nn.Module | None = None
        if isinstance(config, CrossAttentionConfig):
            from refseg.networks.cmirnet.alternatives import CrossAttention

            self.interact = CrossAttention(width, config.heads)
        else:
            self.interact = CGI(config.cgi, width) if config.cgi else None
            self.igr = IGR(config.igr, width) if config.igr else None
        if self.interact is None:
            self.text = None

    def forward(self, x: Tensor, text: Tensor, new_words: list[Tensor], word_mask: Tensor) -> Tensor:
        """Computes a map (M, width, h, w) from a map (M, C, h, w), words (M, T, D) and new words (M, T, width)."""
        visual = result = self.visual(x.contiguous())
        if self.interact is not None and self.text is not None:
            words = sum(new_words, F.relu(instance_norm(self.text(text))))  # Eq. (7)
            result = self.interact(visual, words, word_mask)
        return visual + (result if self.igr is None else self.igr(result))


class CGI(nn.Module):
    """Cross-graph interaction: edges from each pixel to its nearest words, in each head.

    The heads' convolutions are one grouped convolution.
    """

    def __init__(self, config: CGIConfig, width: int):
        super().__init__()
        self.heads, self.neighbours, self.mask_padding = config.heads, config.neighbours, config.mask_padding_words
        kernel = config.kernel
        edge = nn.Conv2d(2 * width, width, kernel, padding=kernel // 2, groups=self.heads)
        self.edge = nn.Sequential(edge, nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.head_weights = nn.Linear(width // self.heads, 3 * width // self.heads) if config.head_weights else None

    def forward(self, x: Tensor, words: Tensor, word_mask: Tensor) -> Tensor:
        """Updates maps (M, C, h, w) by words (M, T, C)."""
        pixels, words = (each.unflatten(-1, (self.heads, -1)) for each in (pixels_of(x), words))
        mask = word_mask if self.mask_padding else torch.ones_like(word_mask)
        near = nearest_words(pixels, words, mask, self.neighbours)  # (M, N, K, heads)
        index = near.flatten(1, 2)[..., None].expand(-1, -1, -1, words.shape[-1])
        near_words = words.gather(1, index).unflatten(1, near.shape[1:3])  # (M, N, K, heads, c)
        pixel = pixels[:, :, None].expand_as(near_words)
        edges = torch.cat([pixel, near_words - pixel], -1).flatten(-2)  # Eq. (8)
        result = self.edge(edges.permute(0, 3, 1, 2)).amax(-1)  # (M, C, N)  Eq. (9)
        if self.head_weights is not None:
            result = result * self.weights(result.amax(-1))[..., None]
        return result.unflatten(-1, x.shape[-2:])

    def weights(self, z: Tensor) -> Tensor:
        """Computes channel weights (M, C) from the maximum (M, C) of each channel (Eqs. 10 to 12)."""
        assert self.head_weights is not None
        key, query, value = self.head_weights(z.unflatten(-1, (self.heads, -1))).chunk(3, dim=-1)  # (M, heads, c)
        attention = (query @ key.mT).float().softmax(-2)  # over the queries
        return (attention.mT @ value.float()).flatten(1)


def nearest_words(pixels: Tensor, words: Tensor, word_mask: Tensor, count: int) -> Tensor:
    """Returns the indices (M, N, count, heads) int64 of the words nearest to each pixel, nearest first.

    Distances are angles. Of equally near words the first of the sentence wins, on every device and in every batch:
    angles are computed in float64 and compared in float32, so that equal words are equally near, and the sort is
    stable. With fewer words than `count`, the farthest is repeated.

    Args:
        pixels: (M, N, heads, c).
        words: (M, T, heads, c).
        word_mask: (M, T), True on words that may be chosen.
        count: number of words.
    """
    with torch.no_grad(), full_precision(pixels):
        pixels, words = (F.normalize(each.double(), dim=-1).transpose(1, 2) for each in (pixels, words))
        cosine = (pixels @ words.mT).float().masked_fill(~word_mask[:, None, None], -torch.inf)  # (M, heads, N, T)
        order = cosine.sort(dim=-1, descending=True, stable=True).indices
        rank = torch.arange(count, device=order.device).minimum(word_mask.sum(1, keepdim=True) - 1)  # (M, count)
        index = rank.clamp(min=0)[:, None, None].expand(*order.shape[:3], -1)
        return order.gather(-1, index).permute(0, 2, 3, 1)


class IGR(nn.Module):
    """Intra-graph reasoning: self-attention among pixels."""

    def __init__(self, config: IGRConfig, width: int):
        super().__init__()
        self.heads = config.heads
        self.conv = conv_norm(width, width, 3, bias=True)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Updates maps (M, C, h, w)."""
        qkv = self.qkv(pixels_of(self.conv(x))).unflatten(-1, (self.heads, 3, -1))
        query, key, value = (each.flatten(-2) for each in qkv.unbind(-2))
        return map_of(self.project(attend(query, key, value, self.heads)), x)  # Eq. (14)


def words_of_graph(config: CMIRNetConfig) -> Literal["new", "original", ""]:
    """Returns the words that the graph reads, "" for none."""
    match config.cgip:
        case CrossAttentionConfig(words=words) | CGIPConfig(cgi=CGIConfig(words=words)):
            return words
    return ""
