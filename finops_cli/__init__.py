"""finops: a local-first desk for US post-trade settlement fails."""

__version__ = "0.1.0"
