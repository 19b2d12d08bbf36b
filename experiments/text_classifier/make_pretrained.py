"""Makes what would be downloaded: a small language model and its tokenizer, in ``pretrained/``.

The model learns, from sentences without labels, which word was left out.
"""

from __future__ import annotations

import random

import torch
from reviews.data import VOCABULARY, review
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast
from transformers.utils import logging

SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "mask_token": "[MASK]"}


def made_tokenizer():
    words = {word: number for number, word in enumerate([*SPECIAL.values(), *VOCABULARY])}
    tokenizer = Tokenizer(WordLevel(words, unk_token=SPECIAL["unk_token"]))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A", special_tokens=[("[CLS]", words["[CLS]"])]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL)


def make(folder="pretrained", steps=200, width=32):
    logging.disable_progress_bar()
    torch.manual_seed(0)
    rng = random.Random(1)
    tokenizer = made_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=32,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = BertForMaskedLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(steps):
        texts = [review(rng)[0] for _ in range(32)]
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        ids, is_word = batch["input_ids"], batch["input_ids"] >= len(SPECIAL)
        is_hidden = is_word & (torch.rand(ids.shape) < 0.25)
        loss = model(
            input_ids=ids.masked_fill(is_hidden, tokenizer.mask_token_id),
            attention_mask=batch["attention_mask"],
            labels=ids.masked_fill(~is_hidden, -100),
        ).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    make()
