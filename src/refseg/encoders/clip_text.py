"""CLIP's text encoder: its Transformer through transformers, and its byte pairs through tokenizers.

Source     A. Radford et al. "Learning Transferable Visual Models From Natural Language Supervision". ICML 2021.
           https://arxiv.org/abs/2103.00020
Vocabulary text/clip_byte_pairs.txt.gz: the 48,894 merges that CLIP uses, in their order, out of the 262,144
           of its bpe_simple_vocab_16e6.txt.gz (OpenAI, MIT: clip_byte_pairs.LICENSE).
Departs    Text is not repaired by ftfy, except for curly quotes and composed letters.
"""

import torch
from torch import Tensor, nn
from typing_extensions import override

from refseg.encoders.configs import ClipTextConfig
from refseg.encoders.word_encoder import WordEncoder


class ClipWords(WordEncoder):
    """States after the last norm as words; attention is causal."""

    def __init__(self, config: ClipTextConfig, vocabulary_size: int):
        super().__init__()
        import transformers  # takes seconds to import

        self.channels, self.sentence_channels = config.width, config.joint
        self.clip = transformers.CLIPTextModelWithProjection(
            transformers.CLIPTextConfig(
                vocab_size=vocabulary_size,
                hidden_size=config.width,
                intermediate_size=4 * config.width,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                max_position_embeddings=config.positions,
                projection_dim=config.joint,
                hidden_act="quick_gelu",
                pad_token_id=0,
                bos_token_id=vocabulary_size - 2,
                eos_token_id=vocabulary_size - 1,
            )
        )

    @property
    @override
    def table(self) -> nn.Embedding:
        return self.clip.text_model.embeddings.token_embedding

    def forward(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Encodes tokens (M, L) to words (M, L, D); `word_mask` is unused, since padding follows the words."""
        return self.clip.text_model(input_ids=tokens).last_hidden_state

    def sentence(self, words: Tensor, word_mask: Tensor) -> Tensor:
        """Returns the sentence (M, S): the projected state of the last word, the end token.

        Args:
            words: (M, L, D), from `forward`.
            word_mask: (M, L).
        """
        place = torch.arange(word_mask.shape[1], device=words.device)
        last = (place * word_mask).argmax(1)
        return self.clip.text_projection(words[torch.arange(words.shape[0], device=words.device), last])
