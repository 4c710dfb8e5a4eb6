"""BERT through transformers, and its word pieces through tokenizers.

Source     J. Devlin et al. "BERT". NAACL 2019. https://arxiv.org/abs/1810.04805
Vocabulary text/bert_base_uncased.txt: the 30,522 word pieces of BERT-base, uncased (Google, Apache-2.0).
"""

from torch import Tensor, nn
from typing_extensions import override

from refseg.encoders.configs import BertConfig
from refseg.encoders.word_encoder import WordEncoder


class BertWords(WordEncoder):
    """BERT's last hidden states as words."""

    def __init__(self, config: BertConfig, vocabulary_size: int):
        super().__init__()
        import transformers  # takes seconds to import

        self.channels = self.sentence_channels = config.width
        self.sentence_is = config.sentence
        self.bert = transformers.BertModel(
            transformers.BertConfig(
                vocab_size=vocabulary_size,
                hidden_size=config.width,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                intermediate_size=config.feed_forward,
                max_position_embeddings=config.positions,
                hidden_dropout_prob=config.dropout,
                attention_probs_dropout_prob=config.dropout,
                attn_implementation="eager",  # type: ignore[call-arg]  # the fused kernel is slower for 20 words
            ),
            add_pooling_layer=False,
        )

    @property
    @override
    def table(self) -> nn.Embedding:
        return self.bert.embeddings.word_embeddings

    def forward(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Encodes tokens (M, L) to words (M, L, D); `word_mask` (M, L) is False at masked keys."""
        return self.bert(input_ids=tokens, attention_mask=word_mask.long()).last_hidden_state

    def sentence(self, words: Tensor, word_mask: Tensor) -> Tensor:
        """Returns the sentence (M, D) of words (M, L, D) with word_mask (M, L): the state of [CLS], or the mean."""
        return words[:, 0] if self.sentence_is == "first" else super().sentence(words, word_mask)
