"""The text side of CLIP: its Transformer through transformers, and its byte pairs through tokenizers.

Source     A. Radford et al. "Learning Transferable Visual Models From Natural Language Supervision". ICML 2021.
           https://arxiv.org/abs/2103.00020
Vocabulary clip_byte_pairs.txt.gz beside this file: the 48,894 merges that CLIP uses, in their order, out of the 262,144
           of its bpe_simple_vocab_16e6.txt.gz (OpenAI, MIT: clip_byte_pairs.LICENSE).
Departs    Text is not repaired by ftfy, except for what people type: curly quotes and composed letters.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from refseg.encoders.configs import ClipTextConfig
from refseg.encoders.word_encoder import WordEncoder

if TYPE_CHECKING:
    pass


class ClipWords(WordEncoder):
    """Tokens to words: the states after the last norm; a word sees those before it and never those behind."""

    def __init__(self, config: ClipTextConfig, vocabulary_size: int):
        super().__init__()
        import transformers  # seconds to import

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

    def forward(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Words (M, L, D) of tokens (M, L); `word_mask` is not needed, since padding lies behind the words."""
        return self.clip.text_model(input_ids=tokens).last_hidden_state

    def sentence(self, words: Tensor, word_mask: Tensor) -> Tensor:
        """The sentence (M, S): the state of the last word, which is the end token and has seen all, projected.

        Args:
            words: (M, L, D), from `forward`.
            word_mask: (M, L).
        """
        place = torch.arange(word_mask.shape[1], device=words.device)
        last = (place * word_mask).argmax(1)
        return self.clip.text_projection(words[torch.arange(len(words), device=words.device), last])
