#!/usr/bin/env python3
"""Makes cases.json and logits.safetensors: small models of other shapes than the goldens', and what transformers
computes of them in float32. Needs torch, transformers and safetensors; made with transformers 5.17 and torch 2.11.

    python make.py

Weights are made alike here and by the test, so that only the logits need to be kept: see `values`. All of them are bf16
numbers, so that a model written as such a file stays the same."""
import json
import math
import os

import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import AutoModelForCausalLM, CONFIG_MAPPING

HERE = os.path.dirname(os.path.abspath(__file__))
TOKENS = 24
BASE = dict(vocab_size=37, hidden_size=20, intermediate_size=28, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, head_dim=10, max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=0)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)
SHORT = [1.0, 1.3, 1.7, 2.5]
CASES = {
    "llama_tied_gqa3": ("llama", dict(num_attention_heads=6, head_dim=6, hidden_size=18, tie_word_embeddings=True)),
    "llama_biases_gqa7": ("llama", dict(num_attention_heads=7, num_key_value_heads=1, head_dim=12, hidden_size=35,
                                        attention_bias=True, mlp_bias=True)),
    "llama_heads_alone": ("llama", dict(num_attention_heads=3, num_key_value_heads=3, head_dim=8, hidden_size=21,
                                        intermediate_size=27, vocab_size=33)),
    "llama_linear": ("llama", dict(rope_scaling=dict(rope_type="linear", factor=3.0))),
    "llama_dynamic": ("llama", dict(rope_scaling=dict(rope_type="dynamic", factor=3.0))),
    "llama_yarn": ("llama", dict(head_dim=32, rope_scaling=YARN)),
    "llama_llama3": ("llama", dict(head_dim=16, rope_theta=500000.0, rope_scaling=LLAMA3)),
    "llama_wide_heads": ("llama", dict(head_dim=80, num_attention_heads=2, num_key_value_heads=1)),
    "mistral_window": ("mistral", dict(sliding_window=5, num_attention_heads=6, hidden_size=24, head_dim=14)),
    "mistral_tied": ("mistral", dict(sliding_window=None, head_dim=18, tie_word_embeddings=True)),
    "qwen2_gqa7": ("qwen2", dict(num_attention_heads=14, hidden_size=28, head_dim=2, tie_word_embeddings=True)),
    "qwen2_upper_windows": ("qwen2", dict(use_sliding_window=True, sliding_window=9, max_window_layers=1,
                                          num_attention_heads=5, num_key_value_heads=1, head_dim=4)),
    "qwen2_yarn": ("qwen2", dict(hidden_size=32, head_dim=8, rope_scaling=YARN)),
    "qwen3_gqa3": ("qwen3", dict(num_attention_heads=3, num_key_value_heads=1, head_dim=28, hidden_size=18,
                                 tie_word_embeddings=True)),
    "qwen3_biases": ("qwen3", dict(attention_bias=True, num_key_value_heads=4)),
    "moe_plain_shares": ("qwen3_moe", dict(num_experts=6, num_experts_per_tok=3, moe_intermediate_size=12, norm_topk_prob=False)),
    "moe_and_dense": ("qwen3_moe", dict(num_experts=5, num_experts_per_tok=2, moe_intermediate_size=20, norm_topk_prob=True,
                                        mlp_only_layers=[1], num_hidden_layers=3)),
    "moe_all_chosen": ("qwen3_moe", dict(num_experts=4, num_experts_per_tok=4, moe_intermediate_size=12, norm_topk_prob=True)),
    "moe_every_other": ("qwen3_moe", dict(num_experts=16, num_experts_per_tok=1, moe_intermediate_size=8, norm_topk_prob=False,
                                          decoder_sparse_step=2, tie_word_embeddings=True)),
    "gemma2_scale": ("gemma2", dict(head_dim=20, num_attention_heads=5, num_key_value_heads=1, sliding_window=7,
                                    query_pre_attn_scalar=17, attn_logit_softcapping=11.0, final_logit_softcapping=9.0,
                                    num_hidden_layers=3)),
    "gemma2_caps": ("gemma2", dict(sliding_window=4, query_pre_attn_scalar=10, attn_logit_softcapping=3.0,
                                   final_logit_softcapping=5.0)),
    "gemma2_no_caps": ("gemma2", dict(attn_logit_softcapping=None, final_logit_softcapping=None, sliding_window=4,
                                      query_pre_attn_scalar=30)),
    "gemma3_pattern": ("gemma3_text", dict(num_key_value_heads=1, sliding_window=6, query_pre_attn_scalar=10,
                                           num_hidden_layers=4, sliding_window_pattern=3)),
    "phi3_gqa2": ("phi3", dict(hidden_size=60, num_attention_heads=6, num_key_value_heads=3, sliding_window=None)),
    "phi3_partial_window": ("phi3", dict(hidden_size=40, num_key_value_heads=1, partial_rotary_factor=0.4, sliding_window=8)),
    "phi3_longrope": ("phi3", dict(hidden_size=32, original_max_position_embeddings=32, sliding_window=None,
                                   rope_scaling=dict(type="longrope", short_factor=SHORT, long_factor=[2 * f for f in SHORT]))),
    "smollm3": ("smollm3", dict(num_attention_heads=6, hidden_size=24, head_dim=4, num_hidden_layers=5)),
    "smollm3_other_layers": ("smollm3", dict(use_sliding_window=True, sliding_window=7, no_rope_layer_interval=2,
                                             attention_bias=True, tie_word_embeddings=False)),
}


def values(name, shape):
    """A tensor's values: words of a linear congruential generator, seeded by the name's FNV-1a hash, as multiples of 1/64
    of at most 2, times a power of two near 1/sqrt(columns); around 1 for norms."""
    state = 0x811C9DC5
    for byte in name.encode():
        state = ((state ^ byte) * 0x01000193) & 0xFFFFFFFF
    made = np.empty(int(np.prod(shape)), np.float32)
    for index in range(made.size):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        made[index] = (state >> 24) / 64 - 2
    if len(shape) == 1:
        return (made / 8 + (1 if name.endswith("norm.weight") else 0)).reshape(shape)
    return (made * 2.0 ** -math.floor(math.log2(shape[-1]) / 2)).reshape(shape)


def main():
    cases, kept = {}, {}
    for name, (kind, keys) in CASES.items():
        keys = {**BASE, **keys}
        if kind == "phi3":
            del keys["head_dim"]
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**keys), attn_implementation="eager").float().eval()
        folder = f"/tmp/other-shapes-{os.getpid()}"
        model.save_pretrained(folder)
        from safetensors.numpy import load_file
        stored = {key: list(tensor.shape) for key, tensor in sorted(load_file(f"{folder}/model.safetensors").items())}
        save_file({key: values(key, shape) for key, shape in stored.items()}, f"{folder}/model.safetensors",
                  metadata={"format": "pt"})
        model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
        ids = [(7 * place * place + 3 * place + 5) % keys["vocab_size"] for place in range(TOKENS)]
        with torch.no_grad():
            kept[name] = model(torch.tensor([ids])).logits[0].numpy()
        assert np.isfinite(kept[name]).all() and np.ptp(kept[name]) > 1, name
        cases[name] = dict(config=json.load(open(f"{folder}/config.json")), tensors=stored)
    with open(f"{HERE}/cases.json", "w") as file:
        lines = [f"{json.dumps(name)}: {json.dumps(case)}" for name, case in cases.items()]
        file.write("{\n" + ",\n".join(lines) + "\n}\n")
    save_file(kept, f"{HERE}/logits.safetensors")


main()
