"""Models of the transformers library, random and as small as they come: nothing is loaded."""

import pytest
import torch
import transformers

WORDS = 31


def gpt2():
    torch.manual_seed(0)
    still = {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0, "bos_token_id": 0, "eos_token_id": 0}
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=WORDS, n_positions=16, n_embd=16, n_layer=2, n_head=2, **still)
    )


def lora(*modules, model=gpt2):
    """A model with adapters on these modules: the only parameters that are trained."""
    peft = pytest.importorskip("peft")
    settings = peft.LoraConfig(
        r=2,
        target_modules=list(modules) or ["c_attn"],
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
        fan_in_fan_out=model is gpt2,
    )
    return peft.get_peft_model(model(), settings)
