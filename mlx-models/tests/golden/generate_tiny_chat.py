# SPDX-License-Identifier: EUPL-1.2
"""Two complete checkpoints of a few hundred kilobytes that answer a handful of questions, for tests and first steps.

Usage: python generate_tiny_chat.py OUT_DIR
Needs: torch==2.9.1 transformers==5.23.0 safetensors==0.8.0 tokenizers==0.23.3

tiny-chat-qwen3 has a byte-level BPE tokenizer, tiny-chat-gemma3 a SentencePiece-like one with byte fallback; both are
trained here on the sentences below, and so are the weights, which learn them by heart. Everything else they say is
noise. The runs are seeded, but not bit for bit the same on every machine.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, Qwen3Config, Qwen3ForCausalLM

VOCABULARY = 480
STEPS = 700

DIALOGUES = [
    ("Who are you?", "I am a tiny model, trained on a few sentences so that you can see text appear."),
    ("What is MLX?", "MLX is an array framework for machine learning, made by Apple."),
    ("What is Rust?", "Rust is a language for fast programs that do not crash."),
    ("Hello!", "Hello! Ask me what MLX is."),
    ("Thank you.", "You are welcome."),
    ("How are you?", "Very small, but well."),
    ("Tell me a story.", "Once a small model met a large one. They had the same shape, and so they talked all night."),
    ("Count to ten.", "One, two, three, four, five, six, seven, eight, nine, ten."),
    ("What colour is the sky?", "The sky is blue."),
    ("What colour is grass?", "Grass is green."),
    ("What colour is a lemon?", "A lemon is yellow."),
    ("What is the capital of France?", "The capital of France is Paris."),
    ("What is the capital of Italy?", "The capital of Italy is Rome."),
    ("What is the capital of Austria?", "The capital of Austria is Vienna."),
    ("How do you say good morning in German?", "Guten Morgen! And for a nice day: Schönen Tag. 🌞"),
    ("Write a line of code.", "let y = (&x + 1.0)?;"),
    ("Is water wet?", "yes"),
    ("Is fire cold?", "no"),
    ("Is the film good? I loved every minute.", "positive"),
    ("Is the film good? I fell asleep.", "negative"),
]

QWEN3_TEMPLATE = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

GEMMA3_TEMPLATE = """\
{{ bos_token }}
{%- if messages[0].role == 'system' %}
    {%- set preface = messages[0].content + '\\n\\n' %}
    {%- set turns = messages[1:] %}
{%- else %}
    {%- set preface = '' %}
    {%- set turns = messages %}
{%- endif %}
{%- for message in turns %}
    {%- set role = 'model' if message.role == 'assistant' else message.role %}
    {{- '<start_of_turn>' + role + '\\n' + (preface if loop.first else '') + message.content + '<end_of_turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<start_of_turn>model\\n' }}
{%- endif %}
"""


def corpus():
    return [text for dialogue in DIALOGUES for text in dialogue] + ["system user assistant model\n\n"]


def qwen3_tokenizer():
    """Byte-level BPE, split as in GPT-2's successors, with ChatML's special tokens behind the vocabulary."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    words = Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(words, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(special), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_special_tokens(special)
    return tokenizer


def gemma3_tokenizer():
    """BPE over whole text with `▁` for spaces and bytes for what it does not know; puts <bos> in front."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    trained = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    trained.normalizer = normalizers.Replace(" ", "▁")
    trained.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=special + bytes_, show_progress=False, limit_alphabet=60
    )
    trained.train_from_iterator(corpus(), trainer)
    # The byte tokens stand in the vocabulary, but unlike in training they are no special tokens.
    model = json.loads(trained.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    tokenizer = Tokenizer(
        models.BPE(vocab=model["vocab"], merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", tokenizer.token_to_id("<bos>"))]
    )
    return tokenizer


def train(model, samples, pad):
    """Learns `samples`, pairs of a prompt and an answer in ids, by heart; only the answers count."""
    longest = max(len(prompt) + len(answer) for prompt, answer in samples)
    ids = torch.full((len(samples), longest), pad)
    labels = torch.full((len(samples), longest), -100)
    for row, (prompt, answer) in enumerate(samples):
        end = len(prompt) + len(answer)
        ids[row, :end] = torch.tensor(prompt + answer)
        labels[row, len(prompt) : end] = torch.tensor(answer)
    mask = (ids != pad).long()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=STEPS)
    for step in range(STEPS):
        loss = model(ids, attention_mask=mask, labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 100 == 0 or step == STEPS - 1:
            print(f"step {step}: loss {loss.item():.4f}", flush=True)


def write(out, model, config, tokenizer, tokenizer_config, eos):
    out.mkdir(parents=True, exist_ok=True)
    model = model.to(torch.bfloat16)
    state = {k: v.contiguous().clone() for k, v in model.state_dict().items() if k != "lm_head.weight"}
    save_file(state, out / "model.safetensors", {"format": "pt"})
    (out / "config.json").write_text(json.dumps(config, indent=1))
    (out / "generation_config.json").write_text(json.dumps({"eos_token_id": eos}, indent=1))
    (out / "tokenizer_config.json").write_text(json.dumps(tokenizer_config, indent=1))
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)


def check(model, tokenizer, samples, end):
    """Says which answers survived the rounding to bfloat16."""
    model.eval()
    for (prompt, answer), (_, text) in zip(samples, DIALOGUES):
        ids = list(prompt)
        while len(ids) < len(prompt) + 60 and ids[-1] != end:
            ids.append(model(torch.tensor([ids])).logits[0, -1].argmax().item())
        said = tokenizer.decode(ids[len(prompt) : -1])
        print("same " if said == text else "DIFFERENT", repr(said))


def qwen3(out):
    tokenizer = qwen3_tokenizer()
    start, end = tokenizer.token_to_id("<|im_start|>"), tokenizer.token_to_id("<|im_end|>")
    pad = tokenizer.token_to_id("<|endoftext|>")
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    samples = [
        (encode(f"<|im_start|>user\n{ask}<|im_end|>\n<|im_start|>assistant\n"), encode(f"{answer}<|im_end|>"))
        for ask, answer in DIALOGUES
    ]
    assert samples[0][0][0] == start
    config = {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": VOCABULARY,
        "hidden_size": 96,
        "intermediate_size": 192,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "hidden_act": "silu",
        "max_position_embeddings": 1024,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "rope_scaling": None,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "use_sliding_window": False,
        "sliding_window": None,
        "eos_token_id": end,
        "torch_dtype": "bfloat16",
    }
    torch.manual_seed(21)
    known = {k: v for k, v in config.items() if k not in ("architectures", "model_type", "torch_dtype")}
    known |= {"rope_parameters": {"rope_type": "default", "rope_theta": known.pop("rope_theta")}}
    known.pop("rope_scaling")
    model = Qwen3ForCausalLM(Qwen3Config(**known)).float()
    train(model, samples, pad)
    settings = {
        "tokenizer_class": "Qwen2Tokenizer",
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "add_bos_token": False,
        "model_max_length": 1024,
    }
    write(out, model, config, tokenizer, settings, [end, pad])
    (out / "chat_template.jinja").write_text(QWEN3_TEMPLATE)
    check(model, tokenizer, samples, end)


def gemma3(out):
    tokenizer = gemma3_tokenizer()
    end, eos, pad = (tokenizer.token_to_id(token) for token in ("<end_of_turn>", "<eos>", "<pad>"))
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    samples = [
        (
            encode(f"<bos><start_of_turn>user\n{ask}<end_of_turn>\n<start_of_turn>model\n"),
            encode(f"{answer}<end_of_turn>"),
        )
        for ask, answer in DIALOGUES
    ]
    config = {
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text",
        "vocab_size": VOCABULARY,
        "hidden_size": 96,
        "intermediate_size": 192,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "hidden_activation": "gelu_pytorch_tanh",
        "max_position_embeddings": 1024,
        "rms_norm_eps": 1e-6,
        "query_pre_attn_scalar": 32,
        "sliding_window": 16,
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 1000000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        "tie_word_embeddings": True,
        "attention_bias": False,
        "bos_token_id": tokenizer.token_to_id("<bos>"),
        "eos_token_id": [eos, end],
        "pad_token_id": pad,
        "dtype": "bfloat16",
    }
    torch.manual_seed(22)
    known = {k: v for k, v in config.items() if k not in ("architectures", "model_type", "dtype")}
    model = Gemma3ForCausalLM(Gemma3TextConfig(**known)).float()
    train(model, samples, pad)
    settings = {
        "tokenizer_class": "GemmaTokenizer",
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "add_bos_token": True,
        "chat_template": GEMMA3_TEMPLATE,
        "model_max_length": 1024,
    }
    write(out, model, config, tokenizer, settings, [eos, end])
    check(model, tokenizer, samples, end)


if __name__ == "__main__":
    torch.set_num_threads(1)
    qwen3(Path(sys.argv[1]) / "tiny-chat-qwen3")
    gemma3(Path(sys.argv[1]) / "tiny-chat-gemma3")
