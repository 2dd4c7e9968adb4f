# SPDX-License-Identifier: EUPL-1.2
"""Conversations in tokens, and which of them the assistant says, as transformers finds them.

Usage: python generate_masks.py REPOSITORY > masks.json
Needs: transformers==5.24.0

The templates are those of the tests with `generation` blocks put around what the assistant says; from these,
transformers makes its mask. `examples` says, by hand, which answers share an example under a template.
"""

import json
import sys
from pathlib import Path

from transformers import PreTrainedTokenizerFast

ROOT = Path(sys.argv[1])
CHECKPOINTS = ROOT / "mlx-models/tests/golden"
THINKER = (ROOT / "mlx-tokenizer/tests/golden/chat/thinker.jinja").read_text()


def replace(text, old, new):
    assert text.count(old) == 1, old
    return text.replace(old, new)


def marked_chatml(template):
    old = "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    new = (
        "{{- '<|im_start|>' + message.role + '\\n' }}{%- if message.role == 'assistant' %}{%- generation %}"
        "{{- message.content + '<|im_end|>' }}{%- endgeneration %}{%- else %}{{- message.content + '<|im_end|>' }}"
        "{%- endif %}{{- '\\n' }}"
    )
    return replace(template, old, new)


def marked_gemma(template):
    old = "{{- '<start_of_turn>' + role + '\\n' + (preface if loop.first else '') + message.content + '<end_of_turn>\\n' }}"
    new = (
        "{{- '<start_of_turn>' + role + '\\n' + (preface if loop.first else '') }}{%- if role == 'model' %}"
        "{%- generation %}{{- message.content + '<end_of_turn>' }}{%- endgeneration %}{%- else %}"
        "{{- message.content + '<end_of_turn>' }}{%- endif %}{{- '\\n' }}"
    )
    return replace(template, old, new)


def marked_thinker(template):
    template = replace(
        template,
        "        {{- turn_open('assistant') }}\n        {%- if loop.index0",
        "        {{- turn_open('assistant') }}\n        {%- generation %}\n        {%- if loop.index0",
    )
    return replace(
        template,
        "        {{- '<|im_end|>\\n' }}\n    {%- elif message.role == \"tool\" %}",
        "        {{- '<|im_end|>' }}\n        {%- endgeneration %}\n        {{- '\\n' }}\n    {%- elif message.role == \"tool\" %}",
    )


def system(text):
    return {"role": "system", "content": text}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


WEATHER = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather in a town.",
            "parameters": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
        },
    }
]
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"town": "Graz"}}}

ONE = [user("What colour is grass?"), assistant("Grass is green.")]
THREE = [
    system("Be brief."),
    user("Hello!"),
    assistant("Hello! Ask me what MLX is."),
    user("What is MLX? 🌞"),
    assistant("MLX is an array framework."),
    user("Thank you."),
    assistant("You are welcome."),
]
# The question that comes last has no answer.
OPEN = [user("Hello!"), assistant("Hello!"), user("And?")]
THOUGHTS = [
    user("What is 2 + 3?"),
    assistant("<think>\nTwo and three.\n</think>\n\nIt is 5."),
    user("Twice that?"),
    assistant("10", reasoning_content="Five twice."),
]
TOOLS = [
    user("Is it wet in Graz?"),
    assistant("", reasoning_content="I have to ask.", tool_calls=[CALL]),
    {"role": "tool", "content": '{"rain": true}'},
    {"role": "tool", "content": "[]"},
    assistant("<think>\nIt rains.\n</think>\n\nYes, it rains."),
    user("Thank you."),
    assistant("You are welcome."),
]

# Name, checkpoint, template, conversation, tools, and the examples: the answers of each, as messages.
CASES = [
    ("one turn, ChatML", "tiny-chat-qwen3", "own", ONE, None, [[1]]),
    ("one turn, Gemma", "tiny-chat-gemma3", "own", ONE, None, [[1]]),
    ("several turns, ChatML", "tiny-chat-qwen3", "own", THREE, None, [[2, 4, 6]]),
    ("several turns, Gemma", "tiny-chat-gemma3", "own", THREE, None, [[2, 4, 6]]),
    ("an open question", "tiny-chat-qwen3", "own", OPEN, None, [[1]]),
    ("one turn, thinking", "tiny-chat-qwen3", "thinker", ONE, None, [[1]]),
    ("several turns, thinking", "tiny-chat-qwen3", "thinker", THREE, None, [[2], [4], [6]]),
    ("thoughts of earlier turns", "tiny-chat-qwen3", "thinker", THOUGHTS, None, [[1], [3]]),
    ("tools", "tiny-chat-qwen3", "thinker", TOOLS, WEATHER, [[1, 4], [6]]),
]


def load(checkpoint, template):
    folder = CHECKPOINTS / checkpoint
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    names = {key: settings[key] for key in ("bos_token", "eos_token", "pad_token") if settings.get(key)}
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **names)
    if template == "thinker":
        tokenizer.chat_template = marked_thinker(THINKER)
    elif checkpoint == "tiny-chat-gemma3":
        tokenizer.chat_template = marked_gemma(settings["chat_template"])
    else:
        tokenizer.chat_template = marked_chatml((folder / "chat_template.jinja").read_text())
    return tokenizer


def runs(mask):
    """Where the ones of a mask are, as ranges."""
    starts = [i for i, m in enumerate(mask) if m and (i == 0 or not mask[i - 1])]
    ends = [i + 1 for i, m in enumerate(mask) if m and (i + 1 == len(mask) or not mask[i + 1])]
    return list(zip(starts, ends))


def example(tokenizer, messages, tools, answers):
    """The tokens up to the last of `answers`, with these as targets."""
    messages = messages[: answers[-1] + 1]
    out = tokenizer.apply_chat_template(
        messages, tools=tools, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    found = runs(out["assistant_masks"])
    turns = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
    assert len(found) == len(turns), (found, turns)
    kept = [run for run, turn in zip(found, turns) if turn in answers]
    end = kept[-1][1]
    return {"ids": out["input_ids"][:end], "targets": kept}


cases = []
for name, checkpoint, template, messages, tools, examples in CASES:
    tokenizer = load(checkpoint, template)
    cases.append(
        {
            "name": name,
            "checkpoint": checkpoint,
            "template": template,
            "record": {"messages": messages} | ({"tools": tools} if tools else {}),
            "examples": [example(tokenizer, messages, tools, answers) for answers in examples],
        }
    )
print(json.dumps({"generator": "generate_masks.py", "transformers": "5.24.0", "cases": cases}, ensure_ascii=False))
