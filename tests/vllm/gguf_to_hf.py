"""Turns the GGUF of SmolLM2-135M-Instruct into a folder that vLLM reads: `gguf_to_hf.py MODEL.gguf FOLDER DTYPE`.

It runs in vLLM's environment, which has what it imports.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy
import torch
from gguf import GGUFReader, dequantize
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OUTER = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
SPECIAL = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}


def unpermuted(weight, heads):
    """llama.cpp stores the rows of q and k interleaved for its rotary embedding."""
    return (
        weight.reshape(heads, weight.shape[0] // heads // 2, 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)
    )


def weights(reader, fields, dtype):
    """The tensors under their names in the other format."""
    found = {}
    for tensor in reader.tensors:
        weight = numpy.asarray(dequantize(tensor.data, tensor.tensor_type), dtype=numpy.float32)
        weight = weight.reshape([int(size) for size in reversed(tensor.shape)])
        if tensor.name in OUTER:
            name = OUTER[tensor.name]
        else:
            _, layer, part, _ = tensor.name.split(".")
            name = f"model.layers.{layer}.{NAMES[part]}.weight"
            if part == "attn_q":
                weight = unpermuted(weight, fields["llama.attention.head_count"])
            if part == "attn_k":
                weight = unpermuted(weight, fields["llama.attention.head_count_kv"])
        found[name] = torch.from_numpy(numpy.ascontiguousarray(weight)).to(dtype)
    return found


def config(fields, tied, dtype):
    """The model's shape."""
    heads, size = fields["llama.attention.head_count"], fields["llama.embedding_length"]
    rope = fields["llama.rope.freq_base"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": size,
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "head_dim": size // heads,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "vocab_size": fields["llama.vocab_size"],
        "max_position_embeddings": fields["llama.context_length"],
        "rope_theta": rope,
        "rope_parameters": {"rope_type": "default", "rope_theta": rope},
        "tie_word_embeddings": tied,
        "torch_dtype": dtype,
        "attention_bias": False,
        "mlp_bias": False,
        **SPECIAL,
    }


def tokenizer(fields):
    """The vocabulary with its merges."""
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, fuse_unk=False, byte_fallback=False))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    made.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, types, strict=True) if kind == 3]
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return made


def main(source, target, dtype):
    """Write the folder."""
    folder = Path(target)
    folder.mkdir(parents=True)
    reader = GGUFReader(source)
    fields = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF")}
    tensors = weights(reader, fields, getattr(torch, dtype))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer(fields).save(str(folder / "tokenizer.json"))
    files = {
        "config": config(fields, "lm_head.weight" not in tensors, dtype),
        "generation_config": SPECIAL,
        "tokenizer_config": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<|im_start|>",
            "eos_token": "<|im_end|>",
            "pad_token": "<|im_end|>",
            "unk_token": "<|endoftext|>",
            "model_max_length": fields["llama.context_length"],
            "clean_up_tokenization_spaces": False,
            "add_prefix_space": False,
            "chat_template": fields["tokenizer.chat_template"],
        },
    }
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
