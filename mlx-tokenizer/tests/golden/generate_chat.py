# SPDX-License-Identifier: EUPL-1.2
"""Renders conversations through chat templates as transformers does, for the tests.

Usage: generate_chat.py OUT_DIR

Needs `transformers` and `jinja2`. Templates are the `*.jinja` files beside this script in `chat/`, and the one-line
ones below, each for something that real templates use. Writes `chat.json`: a list of cases with the name or the text of
the template, the variables, and the text, or the error for a template that raises one; and gives the tokenizer in
`qwen/` its template.
"""

import json
import sys
from pathlib import Path

import jinja2
import transformers
from transformers.utils.chat_template_utils import render_jinja_template

TOKENS = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Today's weather: <sunny> & \"windy\"…",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "enum": ["Zürich", "東京"]},
                "items": {"type": "array", "items": {"type": "number"}, "default": [1.0, 2, 1e-7]},
                "strict": {"type": "boolean", "default": True, "examples": [None, False]},
            },
            "required": ["city"],
        },
    },
}

SHORT = [{"role": "user", "content": "Hello, what's up?"}]

LONG = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is the weather in Zürich and Tokyo?"},
    {
        "role": "assistant",
        "content": "",
        "reasoning_content": "\nTwo cities, two calls.\n",
        "tool_calls": [
            {"type": "function", "function": {"name": "weather", "arguments": {"city": "Zürich", "days": 2, "x": 0.5}}},
            {"name": "weather", "arguments": '{"city": "東京"}'},
        ],
    },
    {"role": "tool", "name": "weather", "content": '{"t": 21.5}'},
    {"role": "tool", "name": "weather", "content": "rain"},
    {"role": "assistant", "content": "<think>\nEasy.\n</think>\n\nSun, and rain."},
    {"role": "user", "content": [{"type": "text", "text": "Thanks"}, {"type": "image"}, {"type": "text", "text": "Bye"}]},
    {"role": "assistant", "content": "<think>done</think>Bye!"},
]

TURNS = [
    {"role": "system", "content": "  You are terse. "},
    {"role": "user", "content": " Hi \n"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " and this?  "}]},
]

VALUES = {
    "b": True,
    "n": None,
    "i": -3,
    "f": 2.0,
    "g": 1e20,
    "h": 1.25e-7,
    "s": "it's \"x\"\n",
    "l": [1, "a", None, True, 2.5, [], {}],
    "d": {"z": 1, "a": {"k": [1, 2]}, "m": "é"},
    "words": ["one", "two", "three", "four", "five"],
    "text": "  The quick-brown fox's tail\n",
    "people": [{"name": "Ada", "age": 36}, {"name": "Bob", "age": 7}, {"name": "Cy", "age": 36}],
}

LINES = [
    # Values as text.
    "{{ b }} {{ n }} {{ i }} {{ f }} {{ g }} {{ h }} {{ s }}",
    "{{ l }} {{ d }}",
    "{{ (1, 'a') }} {{ (1,) }} {{ [true, none] }} {{ {'a': 1.0} }}",
    "{{ missing }}|{{ missing is defined }}|{{ d.missing is undefined }}|{{ d.a.k }}",
    "{{ b ~ n ~ f }} {{ 'a' + 'b' }} {{ 'ab' * 3 }} {{ 7 // 2 }} {{ 7 / 2 }} {{ -7 % 3 }} {{ 2 ** 5 }}",
    "{{ l | string }} {{ 'x' in d }} {{ 'z' in d }} {{ 'a' in l }} {{ 'qu' in text }}",
    # tojson.
    "{{ d | tojson }} {{ l | tojson }} {{ s | tojson }} {{ '<a>&\\'' | tojson }}",
    "{{ d | tojson(indent=2) }}\n{{ l | tojson(indent=4) }}",
    "{{ d | tojson(sort_keys=true) }} {{ d | tojson(separators=(',', ':')) }} {{ d | tojson(ensure_ascii=true) }}",
    "{{ '🦙é\\u007f' | tojson(ensure_ascii=true) }} {{ [] | tojson(indent=2) }} {{ {} | tojson(indent=2) }}",
    "{{ d | tojson(indent='\\t', separators=('; ', '=')) }} {{ [g, h, f, i] | tojson }} {{ {1: 2, none: 3} | tojson }}",
    # Slices.
    "{{ words[::-1] }} {{ words[1:4] }} {{ words[::2] }} {{ words[-2:] }} {{ words[:-1] }} {{ words[4:0:-2] }} {{ words[10:] }}",
    "{{ 'abcdef'[::-1] }} {{ 'abcdef'[1:-1] }} {{ 'aé🦙d'[1:3] }} {{ words[-1] }} {{ 'abc'[-1] }} {{ words[0][0] }}",
    # Loops.
    "{% for w in words %}{{ loop.index }}/{{ loop.length }} {{ loop.previtem }}<{{ w }}>{{ loop.nextitem }};{% endfor %}",
    "{% for w in words %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }} {% endfor %}",
    "{% for w in words %}{% if loop.index == 2 %}{% continue %}{% elif w == 'four' %}{% break %}{% endif %}{{ w }} {% endfor %}",
    "{% for p in people if p.age > 10 %}{{ p.name }}{% else %}none{% endfor %}{% for p in [] %}x{% else %} empty{% endfor %}",
    "{% for w in words %}{{ loop.cycle('a', 'b') }}{{ loop.changed(w[0]) }}{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}",
    "{% for x in [[1, [2]], [3]] recursive %}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}{% endif %}{% endfor %}",
    # Dictionaries.
    "{% for k, v in d | dictsort %}{{ k }}:{{ v }} {% endfor %}{{ d | dictsort(by='key', reverse=true) }}",
    "{{ d.get('z') }} {{ d.get('q') }} {{ d.get('q', 5) }} {{ d.keys() | list }} {{ d.values() | list }} {{ d.items() | list }}",
    "{{ d['a']['k'][1] }} {{ d.a.k | length }} {{ dict(a=1, b='c') }} {{ d | length }} {{ d | items | list }}",
    # Tests.
    "{{ d is mapping }} {{ l is mapping }} {{ s is string }} {{ l is iterable }} {{ l is sequence }} {{ n is none }} {{ f is number }}",
    "{{ b is boolean }} {{ b is true }} {{ i is integer }} {{ f is float }} {{ b is false }} {{ 3 is odd }} {{ 4 is divisibleby(2) }} {{ d is iterable }}",
    "{{ 1 is eq(1) }} {{ 2 is gt(1) }} {{ 'a' is in(l) }} {{ l is not none }} {{ missing is not defined }} {{ 'A' is upper }} {{ s is sameas(s) }}",
    "{{ n is iterable }} {{ i is iterable }} {{ missing is iterable }} {{ s is iterable }} {{ n is sequence }} {{ n is mapping }} {{ i is sequence }}",
    "{{ n is string }} {{ b is number }} {{ b is integer }} {{ f is integer }} {{ i is float }} {{ s is mapping }} {{ missing is none }} {{ missing is string }}",
    # Namespaces, macros, scopes.
    "{% set ns = namespace(n=0, seen=[]) %}{% for w in words %}{% set ns.n = ns.n + w | length %}{% set ns.seen = ns.seen + [w] %}{% endfor %}{{ ns.n }} {{ ns.seen }}",
    "{% macro m(a, b='x', c=none) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, c=2) }} {{ m(b='y', a=0) }}",
    "{% macro outer(x) %}[{{ caller(x) }}]{% endmacro %}{% call(y) outer(3) %}<{{ y }}>{% endcall %}",
    "{% macro rec(x) %}{% if x > 0 %}{{ x }}{{ rec(x - 1) }}{% endif %}{% endmacro %}{{ rec(5) }}",
    "{% set x = 1 %}{% for w in words %}{% set x = 2 %}{% endfor %}{{ x }}{% if true %}{% set x = 3 %}{% endif %}{{ x }}",
    "{% set block %}a {{ i }} b{% endset %}{{ block | upper }}{% with z = 3 %}{{ z }}{% endwith %}{{ z is defined }}",
    "{% filter upper %}abc{{ i }}{% endfilter %}{% set a, c = 1, 2 %}{{ a }}{{ c }}",
    # Methods of strings.
    "{{ text.strip() }}|{{ text.lstrip() }}|{{ text.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'xyaxy'.lstrip('yx') }}|{{ 'a\\n\\n'.rstrip('\\n') }}",
    "{{ text.split() }} {{ 'a,b,,c'.split(',') }} {{ 'a,b,c'.split(',', 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'abc'.split('x')[-1] }}",
    "{{ text.startswith('  The') }} {{ text.endswith('\\n') }} {{ 'abc'.startswith(('x', 'a')) }} {{ 'abc'.endswith('bc') }}",
    "{{ text.upper() }}{{ text.lower() }}{{ text.title() }}{{ 'aBC d'.capitalize() }} {{ \"they're BILL's\".title() }}",
    "{{ 'a-b-c'.replace('-', '+') }} {{ 'a-b-c'.replace('-', '', 1) }} {{ ', '.join(words) }} {{ 'abcabc'.find('c') }} {{ 'abcabc'.rfind('c') }} {{ 'abcabc'.count('b') }} {{ 'abc'.find('z') }}",
    "{{ '12'.isdigit() }} {{ 'ab'.isalpha() }} {{ ' '.isspace() }} {{ 'A'.isupper() }} {{ 'prefix-a'.removeprefix('prefix-') }} {{ 'a.py'.removesuffix('.py') }} {{ 'a=b=c'.partition('=') }} {{ 'a=b=c'.rpartition('=') }}",
    "{{ 'a\\nb\\r\\nc'.splitlines() }} {{ '{} and {}'.format(1, 'b') }} {{ '%s-%d' % ('a', 3) if false else 'no' }}",
    # Filters.
    "{{ words | join(', ') }} {{ words | first }} {{ words | last }} {{ words | length }} {{ words | reverse | list }} {{ words | sort }} {{ [3, 1, 2] | sort(reverse=true) }}",
    "{{ people | map(attribute='name') | join(' ') }} {{ words | map('upper') | list }} {{ people | selectattr('age', 'equalto', 36) | map(attribute='name') | list }}",
    "{{ people | rejectattr('age', 'gt', 10) | list }} {{ [0, 1, '', 'a'] | select | list }} {{ [1, 2, 3] | reject('odd') | list }} {{ people | sum(attribute='age') }}",
    "{{ people | groupby('age') | list | length }} {{ [1, 1, 2] | unique | list }} {{ [1, 5, 3] | max }} {{ [1, 5, 3] | min }} {{ people | sort(attribute='age') | map(attribute='name') | list }}",
    "{{ missing | default('d') }} {{ '' | default('d', true) }} {{ n | default('d') }} {{ text | trim }} {{ 'a b' | replace(' ', '_') }} {{ 'abc' | upper }} {{ '3' | int + 1 }} {{ '2.5' | float }} {{ 2.567 | round(1) }} {{ -3 | abs }}",
    "{{ 'a\\nb' | indent(2) }} {{ 'a\\nb' | indent(2, true) }} {{ 'hello world' | title }} {{ 'hello' | capitalize }} {{ [1, 2, 3, 4, 5] | batch(2) | list }} {{ '<a>' | e }} {{ '<b>' | safe }} {{ 'abc' | list }}",
    # White space.
    "  {% if true %}\n  a\n  {% endif %}\n{% for x in [1, 2] %}\n    {{ x }}\n{% endfor %}\nend\n",
    "a  {%- if true -%}  b  {%- endif -%}  c {%+ if true %} d{% endif +%}\n e {#- x -#} f\n\n",
    "\n{% raw %}{{ not }}{% endraw %}\n{# one\ntwo #}\nx\n\n\n",
    "{% generation %}\n  kept {{ i }}\n{% endgeneration %}\nx {%- generation -%} y {%- endgeneration -%} z{% set q = 1 %}{% generation %}{% set q = 2 %}{% endgeneration %}{{ q }}",
    # Names and errors.
    "{{ bos_token }}{{ eos_token }}{{ unk_token is defined }} {{ tools is none }} {{ tools is defined }} {{ documents is none }} {{ add_generation_prompt }}",
    "{{ messages | length }} {{ messages[-1].role }} {{ messages[0]['content'] }} {{ messages[0].name is defined }}",
    "{{ (strftime_now('%Y') | length) == 4 }} {{ strftime_now('%d %b %Y')[2] == ' ' }}",
    "{{ range(3) | list }} {{ range(5, 0, -2) | list }} {{ 'a' if i > 0 else 'b' }} {{ 'x' if false }}|{{ not b }} {{ b and 'y' or 'n' }} {{ 1 < 2 < 3 }}",
    "{{ raise_exception('Only ' ~ i ~ ' things') }}",
    "{{ missing.attribute }}",
    "{{ n.attribute is defined }} {{ d.a.b is defined }}",
    "{% set s2 = namespace(found=false) %}{% for m in messages | reverse %}{% if not s2.found %}{% set s2.found = m.role %}{% endif %}{% endfor %}{{ s2.found }}",
    # A key that is called like a method.
    "{% for k, v in tool.function.parameters.properties.items() %}{{ k }}:{{ v.type }} {% endfor %}",
    "{% set p = tool.function.parameters.properties %}{{ p['items']['items'] }} {{ p.keys() | list }} {{ p.get('items')['type'] }}",
]


def render(source, variables):
    variables = dict(variables)
    messages = variables.pop("messages")
    try:
        rendered, _ = render_jinja_template([messages], chat_template=source, **variables)
        return {"text": rendered[0]}
    except jinja2.exceptions.TemplateError as error:
        return {"error": str(error), "kind": type(error).__name__}


def main():
    here = Path(__file__).parent / "chat"
    cases = []

    def case(template, variables, source):
        full = {**TOKENS, "add_generation_prompt": True, **variables}
        cases.append({"template": template, "variables": variables, **render(source, full)})

    thinker = (here / "thinker.jinja").read_text()
    for messages in (SHORT, LONG, LONG[:6], LONG[:3], LONG[1:2]):
        for tools in (None, [WEATHER]):
            for extra in ({}, {"enable_thinking": False}, {"enable_thinking": True, "add_generation_prompt": False}):
                variables = {"messages": messages, **extra}
                if tools:
                    variables["tools"] = tools
                case("thinker.jinja", variables, thinker)
    turns = (here / "turns.jinja").read_text()
    for messages in (SHORT, TURNS, TURNS[:3], TURNS[1:2], TURNS[2:], [TURNS[1], TURNS[1]], [{"role": "user", "content": None}]):
        for prompt in (True, False):
            case("turns.jinja", {"messages": messages, "add_generation_prompt": prompt}, turns)
    for line in LINES:
        case(None, {"messages": SHORT, **VALUES, "tool": WEATHER, "source": line}, line)

    # The values of the lines are the same each time and are written once.
    for entry in cases:
        if entry["template"] is None:
            entry["source"] = entry["variables"]["source"]
            del entry["variables"]
    versions = f"transformers {transformers.__version__}, jinja2 {jinja2.__version__}"
    shared = {"messages": SHORT, **VALUES, "tool": WEATHER}
    out = {"generator": "generate_chat.py", "library": versions, "tokens": TOKENS, "shared": shared, "cases": cases}
    folder = Path(sys.argv[1])
    (folder / "chat.json").write_text(json.dumps(out, ensure_ascii=True, indent=1) + "\n")
    (folder / "qwen").mkdir(parents=True, exist_ok=True)
    (folder / "qwen" / "chat_template.jinja").write_text(thinker)


if __name__ == "__main__":
    main()
