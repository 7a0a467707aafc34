#!/usr/bin/env python3
"""Make Resident's embedded model: train it, write it as GGUF, measure it, and write its golden values.

Four steps, each a subcommand (``python train.py STEP --help`` lists its options):

``train``     draws stories from ``generate_stories.py``, trains a byte-level BPE tokenizer and a Qwen3 model (PyTorch);
``export``    writes the trained weights as a GGUF file, matrices in Q8_0 and norms in F32 (package ``gguf``);
``evaluate``  reads the GGUF file back and reports its loss on unseen stories and some samples (``transformers``);
``golden``    writes logits and greedy tokens of ``transformers``' own Qwen3 on the dequantised GGUF weights.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file, save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn

import generate_stories

EOS = "<|endoftext|>"
# The split of Qwen2 and Qwen3 tokenizers, which GGUF calls the pre-tokenizer "qwen2".
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TRAIN_SEED = 1
TRAIN_STORIES = 800_000
HELD_OUT_SEED = 2


@dataclasses.dataclass(frozen=True)
class Shape:
    """The shape of the model, in the terms of a Qwen3 configuration."""

    vocab: int = 2048
    hidden: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    mlp: int = 384
    context: int = 512
    rope_theta: float = 10000.0
    eps: float = 1e-6


# ---------------------------------------------------------------------------------------------------------------------
# Tokenizer
# ---------------------------------------------------------------------------------------------------------------------


def dress_tokenizer(model: models.BPE) -> Tokenizer:
    """A tokenizer around a BPE model, built as the ``tokenizer.json`` of Qwen2 and Qwen3 is."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated", invert=False)
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    return tokenizer


def add_end_token(tokenizer: Tokenizer) -> None:
    """Give the tokenizer its only special token, as its last one."""
    tokenizer.add_special_tokens([AddedToken(EOS, special=True, normalized=False)])


def train_tokenizer(stories: Sequence[str], vocab: int) -> Tokenizer:
    """Learn the merges from some stories; all 256 byte tokens are always there."""
    tokenizer = dress_tokenizer(models.BPE())
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=vocab - 1, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(stories, trainer)
    add_end_token(tokenizer)
    if tokenizer.get_vocab_size() != vocab:
        raise ValueError(f"the tokenizer has {tokenizer.get_vocab_size()} tokens, not {vocab}; give it more stories")
    return tokenizer


def unseen_stories(known: Iterable[str], count: int, processes: int) -> list[str]:
    """Stories of the held-out seed, out of ``count`` drawn, that are not in ``known``."""
    drawn = dict.fromkeys(generate_stories.generate(HELD_OUT_SEED, 0, count, processes))
    for story in known:
        drawn.pop(story, None)
    return list(drawn)


def pack(tokenizer: Tokenizer, stories: Sequence[str], length: int) -> np.ndarray:
    """Rows of ``length`` tokens: stories joined by the end token, each row beginning with the start of a story."""
    end = tokenizer.token_to_id(EOS)
    rows: list[np.ndarray] = []
    row: list[int] = []
    for first in range(0, len(stories), 20_000):
        for encoding in tokenizer.encode_batch_fast(list(stories[first : first + 20_000])):
            row.extend(encoding.ids)
            row.append(end)
            if len(row) >= length:
                rows.append(np.array(row[:length], dtype=np.int16))
                row = []
    return np.stack(rows)


# ---------------------------------------------------------------------------------------------------------------------
# Model: Qwen3 with the parameter names of its Hugging Face checkpoints
# ---------------------------------------------------------------------------------------------------------------------


class RMSNorm(nn.Module):
    """Root mean square normalisation with a learned scale."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dimension."""
        return F.rms_norm(x.float(), (x.shape[-1],), self.weight, self.eps).to(x.dtype)


class Attention(nn.Module):
    """Grouped-query attention with normalised queries and keys."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        query, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        self.q_proj = nn.Linear(shape.hidden, query, bias=False)
        self.k_proj = nn.Linear(shape.hidden, kv, bias=False)
        self.v_proj = nn.Linear(shape.hidden, kv, bias=False)
        self.o_proj = nn.Linear(query, shape.hidden, bias=False)
        self.q_norm = RMSNorm(shape.head_dim, shape.eps)
        self.k_norm = RMSNorm(shape.head_dim, shape.eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Attend causally over the rows of ``x``."""
        batch, length, _ = x.shape
        split = (batch, length, -1, self.shape.head_dim)
        q = rotate(self.q_norm(self.q_proj(x).view(split)).transpose(1, 2), cos, sin)
        k = rotate(self.k_norm(self.k_proj(x).view(split)).transpose(1, 2), cos, sin)
        v = self.v_proj(x).view(split).transpose(1, 2)
        groups = self.shape.heads // self.shape.kv_heads
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(out.transpose(1, 2).reshape(batch, length, -1))


class MLP(nn.Module):
    """The gated feed-forward block."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden, shape.mlp, bias=False)
        self.up_proj = nn.Linear(shape.hidden, shape.mlp, bias=False)
        self.down_proj = nn.Linear(shape.mlp, shape.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """One decoder layer."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(shape.hidden, shape.eps)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = RMSNorm(shape.hidden, shape.eps)
        self.mlp = MLP(shape)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Apply the layer."""
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Backbone(nn.Module):
    """Embedding, layers and final norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab, shape.hidden)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.hidden, shape.eps)


class Qwen3(nn.Module):
    """A Qwen3 model whose output matrix is its embedding."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.model = Backbone(shape)
        frequencies = shape.rope_theta ** (-torch.arange(0, shape.head_dim, 2).float() / shape.head_dim)
        angles = torch.outer(torch.arange(shape.context).float(), frequencies).repeat(1, 2)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                scale = (2 * shape.layers) ** -0.5 if name.endswith(("o_proj.weight", "down_proj.weight")) else 1.0
                nn.init.normal_(parameter, std=0.02 * scale)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        """The mean cross-entropy of ``targets``."""
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        x = self.model.embed_tokens(ids)
        for layer in self.model.layers:
            x = layer(x, cos, sin)
        logits = F.linear(self.model.norm(x), self.model.embed_tokens.weight)
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding over the two halves of each head."""
    first, second = x.chunk(2, dim=-1)
    return (x * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)


# ---------------------------------------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------------------------------------


def batches(rows: Tensor, size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless shuffled batches of inputs and targets."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(rows), generator=generator).to(rows.device)
        for first in range(0, len(rows) - size + 1, size):
            batch = rows[order[first : first + size]].long()
            yield batch[:, :-1], batch[:, 1:]


def save_checkpoint(model: Qwen3, tokenizer: Tokenizer, shape: Shape, record: dict[str, Any], out: Path) -> None:
    """Write weights (float32), tokenizer and record into ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().float().cpu().numpy() for name, tensor in model.state_dict().items()}
    save_file(weights, out / "model.safetensors.part")
    os.replace(out / "model.safetensors.part", out / "model.safetensors")
    tokenizer.save(str(out / "tokenizer.json"))
    (out / "record.json").write_text(json.dumps({"shape": dataclasses.asdict(shape), **record}, indent=1) + "\n")


@torch.no_grad()
def mean_loss(model: Callable[[Tensor, Tensor], Tensor], rows: Tensor, size: int, autocast: torch.autocast) -> float:
    """The mean loss over all full batches of ``rows``."""
    losses = []
    for first in range(0, len(rows) - size + 1, size):
        batch = rows[first : first + size].long()
        with autocast:
            losses.append(model(batch[:, :-1], batch[:, 1:]))
    return torch.stack(losses).mean().item()


def run_train(args: argparse.Namespace) -> None:
    """Train tokenizer and model and leave a checkpoint in ``--out``."""
    begin = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - begin:7.1f} s] {text}", flush=True)

    torch.manual_seed(args.seed)
    torch.set_float32_matmul_precision("high")
    shape = Shape(hidden=args.hidden, layers=args.layers, mlp=args.mlp)
    stories = list(generate_stories.generate(TRAIN_SEED, 0, args.stories, args.processes))
    held_out = unseen_stories(stories, args.held_out, args.processes)
    say(f"{len(stories)} stories to train on, {len(held_out)} held out")
    tokenizer = train_tokenizer(stories[: args.tokenizer_stories], shape.vocab)
    say("tokenizer trained")
    rows = torch.from_numpy(pack(tokenizer, stories, shape.context + 1)).to(args.device)
    test_rows = torch.from_numpy(pack(tokenizer, held_out, shape.context + 1)).to(args.device)
    say(f"{rows.numel():,} tokens in {len(rows)} rows, {len(test_rows)} rows held out")

    model = Qwen3(shape).to(args.device)
    step_model: Any = torch.compile(model) if args.compile else model
    matrices = [parameter for parameter in model.parameters() if parameter.dim() == 2]
    norms = [parameter for parameter in model.parameters() if parameter.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": norms, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.95), eps=1e-9, fused=args.device == "cuda")
    autocast = torch.autocast(args.device, dtype=torch.bfloat16)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    say(f"{parameters:,} parameters")

    record: dict[str, Any] = {"parameters": parameters, "stories": len(stories), "curve": []}
    source = batches(rows, args.batch, args.seed)
    step, progress, clock, saved = 0, 0.0, time.monotonic(), time.monotonic()
    running: list[Tensor] = []
    while progress < 1.0:
        warmup = min(1.0, (step + 1) / args.warmup)
        for group in optimizer.param_groups:
            group["lr"] = args.lr * warmup * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * progress)))
        with autocast:
            loss = step_model(*next(source))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        running.append(loss.detach())
        step += 1
        if step == 1:
            clock = time.monotonic()
            say(f"first step done, loss {loss.item():.3f}")
        progress = step / args.steps
        if args.max_seconds and step > 1 and step % 20 == 0:
            progress = max(progress, (time.monotonic() - clock) / args.max_seconds)
        if step % args.log_every == 0 or progress >= 1.0:
            train_loss = torch.stack(running).mean().item()
            running = []
            rate = step * args.batch * shape.context / max(time.monotonic() - clock, 1e-9)
            record["curve"].append({"step": step, "train_loss": round(train_loss, 4)})
            say(f"step {step} ({progress:.1%}): loss {train_loss:.4f}, {rate / 1e6:.2f} M tokens/s")
            if time.monotonic() - saved > 45:
                save_checkpoint(model, tokenizer, shape, record, args.out)
                saved = time.monotonic()
    record.update(steps=step, seconds=round(time.monotonic() - clock, 1), tokens_seen=step * args.batch * shape.context)
    save_checkpoint(model, tokenizer, shape, record, args.out)
    size = min(args.batch, len(test_rows))
    record["train_loss"] = mean_loss(model, rows[: len(test_rows)], size, autocast)
    record["held_out_loss"] = mean_loss(model, test_rows, size, autocast)
    save_checkpoint(model, tokenizer, shape, record, args.out)
    say(f"loss on trained stories {record['train_loss']:.4f}, on unseen stories {record['held_out_loss']:.4f}")


# ---------------------------------------------------------------------------------------------------------------------
# GGUF
# ---------------------------------------------------------------------------------------------------------------------

GGUF_LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_names(layers: int) -> dict[str, str]:
    """The GGUF name of every tensor, by its Hugging Face name."""
    names = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    for layer in range(layers):
        for theirs, ours in GGUF_LAYER_NAMES.items():
            names[f"model.layers.{layer}.{theirs}.weight"] = f"blk.{layer}.{ours}.weight"
    return names


def run_export(args: argparse.Namespace) -> None:
    """Write a checkpoint as GGUF: matrices in Q8_0, norms in F32."""
    import gguf

    shape = Shape(**json.loads((args.run / "record.json").read_text())["shape"])
    weights = load_file(args.run / "model.safetensors")
    vocabulary = json.loads((args.run / "tokenizer.json").read_text())["model"]
    tokens = sorted(vocabulary["vocab"], key=vocabulary["vocab"].get) + [EOS]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in vocabulary["merges"]]
    types = [gguf.TokenType.NORMAL] * (len(tokens) - 1) + [gguf.TokenType.CONTROL]
    end = len(tokens) - 1

    writer = gguf.GGUFWriter(str(args.out), "qwen3")
    writer.add_type("model")
    writer.add_name("Resident Stories 3M")
    writer.add_basename("resident-stories")
    writer.add_size_label("3M")
    writer.add_description("A small model that tells short stories, trained on text of the project's own generator.")
    writer.add_license("MIT OR Apache-2.0")
    writer.add_languages(["en"])
    writer.add_tags(["text-generation", "stories"])
    writer.add_block_count(shape.layers)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_feed_forward_length(shape.mlp)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_layer_norm_rms_eps(shape.eps)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_vocab_size(shape.vocab)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(end)
    writer.add_pad_token_id(end)
    writer.add_add_bos_token(False)

    quantised = gguf.GGMLQuantizationType.Q8_0
    for theirs, ours in gguf_names(shape.layers).items():
        tensor = weights.pop(theirs)
        if tensor.ndim == 2:
            writer.add_tensor(ours, gguf.quants.quantize(tensor, quantised), raw_dtype=quantised)
        else:
            writer.add_tensor(ours, tensor)
    if weights:
        raise ValueError(f"tensors left over: {sorted(weights)}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{args.out}: {args.out.stat().st_size:,} bytes")


def load_gguf(path: Path) -> tuple[Any, Tokenizer]:
    """``transformers``' float32 Qwen3 on the dequantised weights of a GGUF file, and its tokenizer."""
    import gguf
    from transformers import Qwen3Config, Qwen3ForCausalLM

    reader = gguf.GGUFReader(str(path))

    def value(key: str) -> Any:
        return reader.fields[key].contents()

    config = Qwen3Config(
        vocab_size=len(value("tokenizer.ggml.tokens")),
        hidden_size=value("qwen3.embedding_length"),
        num_hidden_layers=value("qwen3.block_count"),
        num_attention_heads=value("qwen3.attention.head_count"),
        num_key_value_heads=value("qwen3.attention.head_count_kv"),
        head_dim=value("qwen3.attention.key_length"),
        intermediate_size=value("qwen3.feed_forward_length"),
        max_position_embeddings=value("qwen3.context_length"),
        rms_norm_eps=value("qwen3.attention.layer_norm_rms_epsilon"),
        rope_theta=value("qwen3.rope.freq_base"),
        rope_parameters={"rope_type": "default", "rope_theta": value("qwen3.rope.freq_base")},
        tie_word_embeddings=True,
        attention_bias=False,
        attn_implementation="eager",
    )
    tensors = {
        tensor.name: torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy())
        for tensor in reader.tensors
    }
    state = {theirs: tensors[ours] for theirs, ours in gguf_names(config.num_hidden_layers).items()}
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model = Qwen3ForCausalLM(config).float().eval()
    model.load_state_dict(state, strict=True)

    tokens, merges = value("tokenizer.ggml.tokens"), value("tokenizer.ggml.merges")
    vocabulary = {token: index for index, token in enumerate(tokens) if token != EOS}
    tokenizer = dress_tokenizer(models.BPE(vocabulary, [tuple(merge.split(" ")) for merge in merges]))
    add_end_token(tokenizer)
    return model, tokenizer


# ---------------------------------------------------------------------------------------------------------------------
# Evaluation
# ---------------------------------------------------------------------------------------------------------------------

SAMPLES: tuple[tuple[str, int | None], ...] = (
    # prompt, seed (none: greedy)
    ("Once upon a time", None),
    ("Once upon a time", 1),
    ("Once upon a time", 2),
    ("One day", 3),
    ("There was a little", 4),
    ("The", 5),
    ("A dragon", 6),
    ("Why is the sky blue?", 7),
    ("Lily and Tom", 8),
    ("It was a cold winter morning", 9),
)


@torch.no_grad()
def sample(model: Any, tokenizer: Tokenizer, prompt: str, seed: int | None, limit: int) -> str:
    """Continue a prompt, greedily or with temperature 0.8 and top-p 0.95, up to the end token."""
    end = tokenizer.token_to_id(EOS)
    ids = tokenizer.encode(prompt).ids
    generator = torch.Generator().manual_seed(seed or 0)
    fresh, cache = ids, None
    while len(ids) < limit:
        step = model(torch.tensor([fresh]), past_key_values=cache, use_cache=True)
        logits, cache = step.logits[0, -1], step.past_key_values
        if seed is None:
            token = int(logits.argmax())
        else:
            probabilities, order = torch.softmax(logits / 0.8, dim=-1).sort(descending=True)
            kept = probabilities.cumsum(dim=-1) - probabilities < 0.95
            token = int(order[torch.multinomial(probabilities * kept, 1, generator=generator)])
        if token == end:
            break
        ids.append(token)
        fresh = [token]
    return tokenizer.decode(ids)


def run_evaluate(args: argparse.Namespace) -> None:
    """Report the loss of a GGUF file on unseen stories, one story at a time, and write samples."""
    model, tokenizer = load_gguf(args.gguf)
    end = tokenizer.token_to_id(EOS)
    nats, tokens, characters = 0.0, 0, 0
    known = generate_stories.generate(TRAIN_SEED, 0, args.known, args.processes)
    stories = unseen_stories(known, args.stories, args.processes)
    for story in stories:
        ids = torch.tensor(tokenizer.encode(story).ids + [end])
        with torch.no_grad():
            logits = model(ids[None, :-1]).logits[0]
        nats += F.cross_entropy(logits, ids[1:], reduction="sum").item()
        tokens += len(ids) - 1
        characters += len(story)
    print(
        f"{len(stories)} unseen stories: {nats / tokens:.4f} nats a token, perplexity {math.exp(nats / tokens):.3f}, "
        f"{nats / math.log(2) / characters:.4f} bits a character, {characters / tokens:.2f} characters a token\n"
    )
    for prompt, seed in SAMPLES:
        how = "greedy" if seed is None else f"seed {seed}"
        text = sample(model, tokenizer, prompt, seed, 400)
        print(f"**`{prompt}`** ({how})\n\n" + "\n".join(f"> {line}".rstrip() for line in text.split("\n")) + "\n")


# ---------------------------------------------------------------------------------------------------------------------
# Golden values
# ---------------------------------------------------------------------------------------------------------------------

GOLDEN_GREEDY = 32


@torch.no_grad()
def greedy_with_margins(model: Any, ids: Sequence[int], count: int) -> tuple[list[int], list[float]]:
    """The next ``count`` greedy tokens, not stopping at the end token, and how far each leads the second best."""
    fresh, cache = list(ids), None
    tokens, margins = [], []
    for _ in range(count):
        step = model(torch.tensor([fresh]), past_key_values=cache, use_cache=True)
        cache = step.past_key_values
        best = step.logits[0, -1].topk(2)
        tokens.append(int(best.indices[0]))
        margins.append(float(best.values[0] - best.values[1]))
        fresh = [tokens[-1]]
    return tokens, margins


def run_golden(args: argparse.Namespace) -> None:
    """Search unseen stories for prompts whose greedy continuation is clear-cut and store what the model says there."""
    model, tokenizer = load_gguf(args.gguf)
    out: dict[str, np.ndarray] = {}
    for length in (1, 7, 64):
        best: tuple[float, list[int], list[int], list[float]] | None = None
        seen: set[tuple[int, ...]] = set()
        for story in generate_stories.generate(HELD_OUT_SEED, 0, args.stories):
            ids = tokenizer.encode(story).ids[:length]
            if tuple(ids) in seen or len(seen) >= args.tries:
                continue
            seen.add(tuple(ids))
            tokens, margins = greedy_with_margins(model, ids, GOLDEN_GREEDY)
            if best is None or min(margins) > best[0]:
                best = (min(margins), ids, tokens, margins)
        if best is None:
            raise ValueError("no prompt of that length")
        margin, ids, tokens, margins = best
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0].numpy()
        name = f"len{length}"
        out[f"{name}.ids"] = np.array(ids, dtype=np.int32)
        out[f"{name}.greedy"] = np.array(tokens, dtype=np.int32)
        out[f"{name}.greedy_margin"] = np.array(margins, dtype=np.float32)
        out[f"{name}.logits_last16" if length > 16 else f"{name}.logits"] = np.ascontiguousarray(logits[-16:])
        print(f"{name}: margin {margin:.3f}: {tokenizer.decode(ids)!r} -> {tokenizer.decode(tokens)!r}")
    save_file(out, args.out)
    print(f"{args.out}: {args.out.stat().st_size:,} bytes")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Make Resident's embedded model.")
    steps = parser.add_subparsers(dest="step", required=True)

    train = steps.add_parser("train", help="train tokenizer and model")
    train.add_argument("--out", type=Path, required=True, help="folder for the checkpoint")
    train.add_argument("--stories", type=int, default=TRAIN_STORIES, help="stories to draw for training")
    train.add_argument("--held-out", type=int, default=6_000, help="stories to draw for the held-out loss")
    train.add_argument("--tokenizer-stories", type=int, default=60_000, help="stories that the tokenizer learns from")
    train.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="processes that draw stories")
    train.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    train.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True, help="use torch.compile")
    train.add_argument("--steps", type=int, default=6_000, help="optimiser steps")
    train.add_argument(
        "--max-seconds", type=float, default=0.0, help="shorten the schedule to fit this time (0: never)"
    )
    train.add_argument("--batch", type=int, default=256, help="rows a step")
    train.add_argument("--lr", type=float, default=3e-3, help="peak learning rate")
    train.add_argument("--warmup", type=int, default=200, help="steps of linear warm-up")
    train.add_argument("--seed", type=int, default=1, help="seed of the weights and of the order of the rows")
    train.add_argument("--log-every", type=int, default=200)
    train.add_argument("--hidden", type=int, default=Shape.hidden)
    train.add_argument("--layers", type=int, default=Shape.layers)
    train.add_argument("--mlp", type=int, default=Shape.mlp)
    train.set_defaults(run_step=run_train)

    export = steps.add_parser("export", help="write a checkpoint as GGUF")
    export.add_argument("--run", type=Path, required=True, help="folder of the checkpoint")
    export.add_argument("--out", type=Path, required=True, help="GGUF file to write")
    export.set_defaults(run_step=run_export)

    evaluate = steps.add_parser("evaluate", help="loss and samples of a GGUF file")
    evaluate.add_argument("--gguf", type=Path, required=True)
    evaluate.add_argument("--stories", type=int, default=1_000, help="stories to draw to measure on")
    evaluate.add_argument("--known", type=int, default=TRAIN_STORIES, help="stories drawn for training, to leave out")
    evaluate.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="processes that draw stories")
    evaluate.set_defaults(run_step=run_evaluate)

    golden = steps.add_parser("golden", help="golden values of a GGUF file")
    golden.add_argument("--gguf", type=Path, required=True)
    golden.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    golden.add_argument("--stories", type=int, default=2_000, help="unseen stories to take prompts from")
    golden.add_argument("--tries", type=int, default=150, help="different prompts to try for each length")
    golden.set_defaults(run_step=run_golden)

    args = parser.parse_args()
    args.run_step(args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
