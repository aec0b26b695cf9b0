"""Choose a token by the settings of a request: penalty, top-k, top-p, min-p, temperature."""

from __future__ import annotations

import random
from typing import Any

import torch

from finops_cli.models.llama_cpp.messages import Sampling


class TokenSampler:
    """The choices of one answer, in the order of llama.cpp, with a random generator of its own."""

    def __init__(self, sampling: Sampling, seed: int) -> None:
        self._settings = sampling
        self._draw = random.Random(seed)  # noqa: S311 - seeded, not a secret
        self._answer: list[int] = []

    def choose(self, logits: Any) -> int:
        """Choose a token. Shape: logits (vocabulary,) float32, of this call alone."""
        settings = self._settings
        if settings.repeat_penalty != 1 and settings.penalised:
            self._penalise(logits)
        token = int(logits.argmax()) if settings.temperature <= 0 else self._sample(logits)
        self._answer.append(token)
        return token

    def _penalise(self, logits: Any) -> None:
        """Lower the logits of the latest tokens of the answer."""
        latest = torch.tensor(sorted(set(self._answer[-self._settings.penalised :])))
        if len(latest):
            values, penalty = logits[latest], self._settings.repeat_penalty
            logits[latest] = torch.where(values > 0, values / penalty, values * penalty)

    def _sample(self, logits: Any) -> int:
        settings = self._settings
        count = min(settings.top_k, len(logits)) if settings.top_k > 0 else len(logits)
        values, tokens = logits.topk(count)
        probabilities = values.softmax(0)
        kept = count
        if settings.top_p < 1:
            # as many as are needed to reach the proportion
            kept = 1 + int((probabilities.cumsum(0) < settings.top_p).sum())
        if settings.min_p > 0:
            least = settings.min_p * float(probabilities[0])
            kept = min(kept, max(1, int((probabilities >= least).sum())))
        weights = (values[:kept] / settings.temperature).softmax(0).tolist()
        return int(self._draw.choices(tokens[:kept].tolist(), weights)[0])
