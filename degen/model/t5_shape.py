"""The shape of a T5, an encoder with a decoder: its parameters, and the FLOPs of its tokens, in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

T5_TYPES = ("t5", "mt5", "umt5")  # model types whose blocks are those of T5
VOCABULARY = 32_128  # rows of T5's embedding
BUCKETS = 32  # distances that its relative positions tell apart


@dataclass(frozen=True)
class T5Shape:
    """The shape of a T5 by the words of the papers: NL, DM, FF, NH, KV.

    Attributes:
        encoder_layers: EL, blocks of the encoder.
        decoder_layers: DL, blocks of the decoder; each attends to itself and to the encoder.
        d_model: DM, width of the residual stream.
        d_ff: FF, width of the feed-forward layer.
        heads: NH, heads of each attention.
        d_kv: KV, width of a head.
        vocab_size: V, rows of the embedding.
        gated: whether the feed-forward layer has a gate, a third matrix, as in version 1.1.
        tied: whether the LM head is the embedding, as in version 1.0.
        buckets: rows of the tables of relative positions, one for the encoder and one for the decoder.

    Source: Raffel et al. 2020, arXiv 1910.10683, section 2.1; Tay et al. 2022, arXiv 2109.10686, table 2.
    """

    encoder_layers: int
    decoder_layers: int
    d_model: int
    d_ff: int
    heads: int
    d_kv: int
    vocab_size: int = VOCABULARY
    gated: bool = False
    tied: bool = True
    buckets: int = BUCKETS

    @property
    def attention_size(self) -> int:
        """Width of all heads of an attention together, a = NH · KV."""
        return self.heads * self.d_kv

    @property
    def parameters(self) -> int:
        """All parameters: those without the embedding and V·DM for it, twice where the head is not tied."""
        return self.parameters_non_embedding + (1 if self.tied else 2) * self.vocab_size * self.d_model

    @property
    def parameters_non_embedding(self) -> int:
        """Parameters of both stacks, with their norms and tables of relative positions.

        Formula: EL·(4·DM·a + f + 2·DM) + DL·(8·DM·a + f + 3·DM) + 2·DM + 2·b·NH, with f = 2·DM·FF (3·DM·FF if gated)
        and b the rows of a table of relative positions.
        """
        blocks = self.encoder_layers * self._block(4, 2) + self.decoder_layers * self._block(8, 3)
        return blocks + 2 * self.d_model + 2 * self.buckets * self.heads

    @property
    def parameters_met_by_source(self) -> int:
        """Parameters that a token of the encoder's side meets.

        The encoder, and keys and values of the decoder's attention to it. Looking up positions costs nothing.
        """
        cross = self.decoder_layers * 2 * self.d_model * self.attention_size
        return self.encoder_layers * self._block(4, 2) + self.d_model + cross

    @property
    def parameters_met_by_target(self) -> int:
        """Parameters that a token of the decoder's side meets.

        The decoder without keys and values of its attention to the encoder, and the head.
        """
        return self.decoder_layers * self._block(6, 3) + self.d_model + self.vocab_size * self.d_model

    def forward_flops(self, source: int = 0, target: int | None = None) -> float:
        """Return the FLOPs of a token in a forward pass, averaged over the tokens of both sides.

        Formula: (S·2·N_S + T·2·N_T + 4·a·(EL·S² + DL·(T(T + 1)/2 + S·T))) / (S + T), with N_S and N_T the parameters
        that a token of either side meets. The last term is attention's scores and weighted sums: in the encoder each
        token sees all S, in the decoder itself and those before it, and all S of the encoder.

        Args:
            source: S, tokens of the encoder's side; 0 leaves attention's scores out, with as many tokens on both sides.
            target: T, tokens of the decoder's side; None for as many as on the encoder's.
        """
        s, t = (source, source if target is None else target) if source else (1, 1)
        met = s * self.parameters_met_by_source + t * self.parameters_met_by_target
        pairs = self.encoder_layers * s * s + self.decoder_layers * (t * (t + 1) // 2 + s * t) if source else 0
        return (2 * met + 4 * self.attention_size * pairs) / (s + t)

    def _block(self, projections: int, norms: int) -> int:
        """Return the parameters of a block with so many projections of attention, each DM × a, and so many norms."""
        feed_forward = (3 if self.gated else 2) * self.d_model * self.d_ff
        return projections * self.d_model * self.attention_size + feed_forward + norms * self.d_model


def t5_shape(config: Any) -> T5Shape:
    """Return the shape of a T5 by its configuration, whose model type is one of `T5_TYPES`.

    transformers sets `tie_word_embeddings` of each to true, and unties the head when weights are loaded that have one.
    Of a t5 it keeps in `scale_decoder_outputs` what the file said; every published mt5 and umt5 has a head of its own.
    """
    tied = config.tie_word_embeddings and getattr(config, "scale_decoder_outputs", config.model_type == "t5")
    return T5Shape(
        config.num_layers, config.num_decoder_layers, config.d_model, config.d_ff, config.num_heads, config.d_kv,
        config.vocab_size, bool(config.is_gated_act), bool(tied), config.relative_attention_num_buckets,
    )  # fmt: skip
