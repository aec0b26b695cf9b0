"""Market messages of custodians: MT548, MT537, sese.024 and semt.018."""
