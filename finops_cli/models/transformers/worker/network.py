"""A model of a folder with its adapter and its tokenizer, on the best device of this machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GenerationConfig,
)

from finops_cli.models.llama_cpp.messages import Load

_TURN_START, _TURN_END = "<|im_start|>", "<|im_end|>"
_TURN = re.compile(r"<\|im_start\|>(system|user)\n(.*?)<\|im_end\|>\n", re.DOTALL)


class LoadFailed(Exception):
    """The model cannot be loaded. The message gives the reason."""


class Network:
    """The weights and the vocabulary that `load` names.

    Raises LoadFailed.
    """

    def __init__(self, load: Load) -> None:
        transformers.utils.logging.disable_progress_bar()
        torch.set_num_threads(max(1, load.threads))
        self.context = load.context
        try:
            config = AutoConfig.from_pretrained(load.path, local_files_only=True)
            self.tokenizer = AutoTokenizer.from_pretrained(load.path, local_files_only=True)
            names = config.architectures or [""]
            self.is_classifier = names[0].endswith("ForSequenceClassification")
            self.model = _open_model(load, self.is_classifier)
        except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
            raise LoadFailed(" ".join(str(error).split())[:600]) from error
        self.device = self.model.device
        self.ends = self._find_ends()
        self._is_chatml = _TURN_START in self.tokenizer.get_added_vocab()
        if not self.is_classifier:
            self.vocabulary = int(self.model.get_output_embeddings().weight.shape[0])
            # the settings of the request count, not those that came with the weights
            self.model.generation_config = GenerationConfig(
                eos_token_id=sorted(self.ends), pad_token_id=self.padding
            )

    @property
    def padding(self) -> int:
        """Return the token that fills short prompts. Attention leaves it out."""
        pad = self.tokenizer.pad_token_id
        return int(pad if pad is not None else min(self.ends))

    def tokenize(self, prompt: str) -> list[int]:
        """Tokenize a prompt. A model without ChatML gets the turns in its own template."""
        if self.is_classifier:
            return list(self.tokenizer(prompt).input_ids)
        text = prompt if self._is_chatml else self._own_template(prompt)
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def build_tokenizer(self) -> Any:
        """Build the tokenizer object of llguidance."""
        from llguidance.hf import from_tokenizer

        return from_tokenizer(self.tokenizer, n_vocab=self.vocabulary, eos_token=sorted(self.ends))

    def _own_template(self, prompt: str) -> str:
        """Render the turns of a ChatML prompt by the template of the tokenizer, such as Mistral's.

        Raises ValueError if the tokenizer has none, or refuses the turns.
        """
        turns = [{"role": role, "content": text} for role, text in _TURN.findall(prompt)]
        if not self.tokenizer.chat_template:
            raise ValueError("the tokenizer has neither the turns of ChatML nor a chat template")
        try:
            rendered: str = self.tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=True
            )
        except Exception as error:  # a template is a program, which raises what it likes
            raise ValueError(f"the chat template of the tokenizer fails: {error}") from error
        return rendered

    def _find_ends(self) -> set[int]:
        """Return the tokens that end an answer."""
        settings = getattr(self.model, "generation_config", None)  # a classifier has none
        given = getattr(settings, "eos_token_id", None)
        ends = {given} if isinstance(given, int) else set(given or ())
        ends.add(self.tokenizer.eos_token_id)
        vocabulary = self.tokenizer.get_added_vocab()
        ends.add(vocabulary.get(_TURN_END))
        return {int(token) for token in ends if token is not None} or {0}


def _open_model(load: Load, is_classifier: bool) -> Any:
    kind = AutoModelForSequenceClassification if is_classifier else AutoModelForCausalLM
    has_cuda = torch.cuda.is_available()
    if load.load_in_4bit and not has_cuda:
        raise LoadFailed(
            "4 bits need a CUDA GPU, and torch finds none here; without --load-in-4bit the model"
            " runs on the processor"
        )
    model = kind.from_pretrained(
        load.path,
        dtype="auto",
        quantization_config=_four_bit() if load.load_in_4bit else None,
        device_map={"": 0} if has_cuda else None,
        local_files_only=True,
        use_safetensors=True,  # a pickle can run code, and has no digest in the provenance
        trust_remote_code=False,
    )
    if load.adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(Path(load.adapter)), local_files_only=True)
    return model.eval()


def _four_bit() -> Any:
    """Return the settings for NF4 with double quantization, as in training."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
