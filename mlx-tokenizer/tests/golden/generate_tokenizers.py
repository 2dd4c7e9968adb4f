# SPDX-License-Identifier: EUPL-1.2
"""Trains the small tokenizers of the tests and writes what the Python libraries make of texts and ids.

Usage: generate_tokenizers.py OUT_DIR [TEXTS]

Needs `tokenizers` and `sentencepiece`. TEXTS is the number of random texts for each tokenizer (default 60); a few
thousand of them in a folder of your own make a thorough check: set MLX_TOKENIZER_GOLDEN to that folder and run
`cargo test -p mlx-tokenizer -- --ignored more_golden`.

Each folder holds the files that a checkpoint would have, and `vectors.json`:
- `encode`: text, ids without special tokens, and (tokenizer.json only) ids with them;
- `decode`: ids, their text, and their text without special tokens (for SentencePiece only the latter).
"""

import io
import json
import random
import sys
from pathlib import Path

import sentencepiece
import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CORPUS = """The lighthouse keeper climbed the stairs at dusk and counted the ships that were still at sea.
There were seven of them, and none of them was in a hurry; the harbour doesn't close before ten o'clock.
She'd written 2026 letters by then, and hadn't sent any. "It's the wind," she said, "that won't let them go."
def area(width, height):\n    if width < 0:\n        raise ValueError("width")\n    return width * height\n
for (int i = 0; i < 128; ++i) {\n\tsum += values[i] * 0.5;\n}\n
Der Leuchtturmwärter stieg in der Dämmerung hinauf und zählte die Schiffe, die größer waren als sein Haus.
Le gardien du phare a compté sept bateaux, déjà loin du port, où l'été finissait à peine.
El farero subió las escaleras mañana por la mañana y contó 1314151 olas.
Смотритель маяка поднялся по лестнице и сосчитал корабли в море.
灯台守は夕暮れに階段を上り、海にいる船を数えた。灯塔看守人数了数海上的船只。
등대지기는 해 질 녘에 계단을 올라가 배를 세었다.
صعد حارس المنارة الدرج عند الغروب وعدّ السفن في البحر.
Ο φαροφύλακας ανέβηκε τις σκάλες. 🚢🚢 ⚓ naïve café — “quotes” … 3.14 × 2 = 6.28
# Heading\n\n- one\n- two\n\n\n```rust\nfn main() {\n    println!("{}", 1 + 1);\n}\n```
""".split("\n")

CHUNKS = [
    " ", "  ", "   ", "      ", "\n", "\n\n", "\n\n\n", "\t", "\t\t", "\r\n", "\r", " \n ", "\u00a0", "\u3000", "\u2003",
    "the", " lighthouse", "Ships", " it's", "I'LL", "'Re", "don't", "harbour", " at sea", "zählte", "größer", "été",
    "море", " корабли", "海", "船を", "灯塔", "등대", "بحر", "σκάλες", "1", "42", "2026", "3.14", "١٢٣", "½", "Ⅷ",
    ".", ",", "!", "?!", "...", "---", "/*", "*/", "()", "{}", "[0]", "==", "=>", "\"", "'", "`", "```", "#", "<", ">",
    "🚢", "🦙", "👩‍🚀", "👍🏽", "🇩🇪", "e\u0301", "o\u0308", "\u0301", "a\u0323\u0302", "\u1e9b\u0323", "\uac00\u11a8", "한", "ﬁ", "Å", "\u212b",
    "\x00", "\x07", "\x1b", "\x7f", "\u200b", "\u200d", "\ufeff", "\ufffd", "\ue000", "\U0010ffff", "▁", "▁▁", "Ġ",
    "é", "ñ", "ß", "İ", "ſ", "K", "ﷺ", "ｆｕｌｌ", "①", "x" * 12, "ab" * 9, "aaaa", "\u0e01\u0e33", "ខ្មែរ", "नमस्ते",
]

FIXED = [
    "", " ", "  ", "\n", "Hello world", " Hello world", "  Hello", "Hello ", "Hello  ", "a  b   c", "\tHello\n    world\n",
    "naïve café", "nai\u0308ve cafe\u0301", "The lighthouse keeper doesn't count 12345 ships.", "🚢🦙👩‍🚀 🇩🇪", "\x00", "a\x00b",
    "灯台守は夕暮れに階段を上り", "\u2581", "a\u2581b", "don't DON'T d'été", "x = [1, 2, 3]\n\n\n\treturn x  # done",
]


def texts(seed, count, extra=()):
    """The fixed texts and `count` random ones, the same for the same seed."""
    draw = random.Random(seed)
    chunks = CHUNKS + list(extra)
    made = list(FIXED)
    for text in extra:
        made += [text, f"a{text}b", f" {text} ", f"{text}{text}"]
    for _ in range(count):
        made.append("".join(draw.choice(chunks) for _ in range(draw.randint(1, 24))))
    return made


def id_lists(seed, count, size, interesting):
    """Random ids, with runs of `interesting` ones (bytes, special tokens) among them."""
    draw = random.Random(seed)
    lists = [[]]
    for _ in range(count):
        ids = []
        for _ in range(draw.randint(1, 10)):
            pool = interesting if draw.random() < 0.6 else range(size)
            ids += [draw.choice(pool) for _ in range(draw.randint(1, 5))]
        lists.append(ids)
    return lists


def write(folder, library, encode, decode, more=None):
    folder.mkdir(parents=True, exist_ok=True)
    vectors = {"generator": "generate_tokenizers.py", "library": library, "encode": encode, "decode": decode}
    (folder / "vectors.json").write_text(json.dumps(vectors, ensure_ascii=True) + "\n")
    for name, content in (more or {}).items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")


def json_vectors(tokenizer, seed, count, extra, interesting):
    encode = [
        {
            "text": text,
            "ids": tokenizer.encode(text, add_special_tokens=False).ids,
            "special": tokenizer.encode(text, add_special_tokens=True).ids,
        }
        for text in texts(seed, count, extra)
    ]
    decode = [
        {
            "ids": ids,
            "text": tokenizer.decode(ids, skip_special_tokens=False),
            "skipped": tokenizer.decode(ids, skip_special_tokens=True),
        }
        for ids in id_lists(seed, count, tokenizer.get_vocab_size(), interesting)
    ]
    return encode, decode


def qwen(out, count):
    """Byte-level BPE with NFC and Qwen's split, special tokens at the end."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    split = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(split), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False, special_tokens=[]
    )
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    tokenizer.add_special_tokens(
        [AddedToken(t, normalized=False, special=True) for t in ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]]
    )
    plain = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"]
    tokenizer.add_tokens([AddedToken(t, normalized=False, special=False) for t in plain])
    folder = out / "qwen"
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *plain]
    bytes_ = list(range(256))
    interesting = bytes_ + [tokenizer.token_to_id(t) for t in special]
    encode, decode = json_vectors(tokenizer, 1, count, special, interesting)
    end = tokenizer.token_to_id("<|im_end|>")
    write(
        folder,
        f"tokenizers {tokenizers.__version__}",
        encode,
        decode,
        {
            "tokenizer_config.json": {
                "add_bos_token": False,
                "bos_token": None,
                "eos_token": "<|im_end|>",
                "pad_token": "<|endoftext|>",
                "tokenizer_class": "Qwen2Tokenizer",
            },
            "generation_config.json": {"eos_token_id": [end, tokenizer.token_to_id("<|endoftext|>")]},
            "config.json": {"model_type": "qwen3", "eos_token_id": end},
        },
    )
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)


def train_sentencepiece(corpus, **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus),
        model_writer=model,
        model_type="bpe",
        minloglevel=2,
        num_threads=1,
        hard_vocab_limit=False,
        **options,
    )
    return model.getvalue()


def sentencepiece_vectors(model, seed, count, extra, interesting):
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    encode = [{"text": text, "ids": processor.encode(text)} for text in texts(seed, count, extra)]
    decode = [
        {"ids": ids, "skipped": processor.decode(ids)}
        for ids in id_lists(seed, count, processor.vocab_size(), interesting(processor))
    ]
    return encode, decode


def bytes_and_specials(processor):
    size = processor.vocab_size()
    pick = lambda i: processor.is_byte(i) or processor.is_control(i) or processor.is_unknown(i) or i < 40
    return [i for i in range(size) if pick(i)] + [i for i in range(size) if "▁" in processor.id_to_piece(i)][:40]


def gemma(out, count):
    """SentencePiece BPE as Gemma has it: nothing normalised, byte fallback, runs of white space as pieces."""
    runs = ["\n\n", "\n\n\n", "\t\t"] + ["▁" * n for n in range(2, 8)]
    markup = ["<start_of_turn>", "<end_of_turn>", "<table>", "</table>"]
    # What is trained on is single lines, so that line breaks become pieces of their own kind.
    model = train_sentencepiece(
        CORPUS * 3,
        vocab_size=760,
        byte_fallback=True,
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        split_digits=True,
        character_coverage=0.99,
        allow_whitespace_only_pieces=True,
        user_defined_symbols=["\n", "\t", *runs, *markup],
        pad_id=0,
        eos_id=1,
        bos_id=2,
        unk_id=3,
        pad_piece="<pad>",
        eos_piece="<eos>",
        bos_piece="<bos>",
        unk_piece="<unk>",
    )
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    encode, decode = sentencepiece_vectors(model, 2, count, markup, bytes_and_specials)
    folder = out / "gemma"
    end = processor.piece_to_id("<end_of_turn>")
    config = {
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": {"content": "<bos>", "special": True},
        "eos_token": "<eos>",
        "added_tokens_decoder": {
            str(processor.piece_to_id(t)): {"content": t, "special": True}
            for t in ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"]
        },
    }
    more = {
        "tokenizer_config.json": config,
        "generation_config.json": {"eos_token_id": [1, end]},
        "config.json": {"model_type": "gemma3", "text_config": {"eos_token_id": 1}},
    }
    # SentencePiece itself knows nothing of the configuration, which makes two pieces special that it decodes.
    hidden = {processor.piece_to_id("<start_of_turn>"), end}
    decode = [case for case in decode if not hidden & set(case["ids"])]
    write(folder, f"sentencepiece {sentencepiece.__version__}", encode, decode, more)
    (folder / "tokenizer.model").write_bytes(model)

    # The same vocabulary as a tokenizer.json.
    vocab = {processor.id_to_piece(i): i for i in range(processor.vocab_size())}
    merges = []
    for piece, index in vocab.items():
        if processor.is_byte(index) or processor.is_control(index) or processor.is_unknown(index):
            continue
        local = [(piece[:i], piece[i:]) for i in range(1, len(piece)) if piece[:i] in vocab and piece[i:] in vocab]
        local.sort(key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))
        merges += [(processor.get_score(index), pair) for pair in local]
    merges.sort(key=lambda merge: -merge[0])
    tokenizer = Tokenizer(
        models.BPE(vocab, [pair for _, pair in merges], byte_fallback=True, fuse_unk=True, unk_token="<unk>")
    )
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", behavior="merged_with_previous")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos>:1 $B:1", special_tokens=[("<bos>", vocab["<bos>"])]
    )
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in specials])
    tokenizer.add_tokens([AddedToken(t, normalized=False, special=False) for t in ["<table>", "</table>"]])
    folder = out / "gemma-json"
    interesting = [i for i in vocab.values() if processor.is_byte(i)] + [vocab[t] for t in specials]
    encode, decode = json_vectors(tokenizer, 3, count, [*markup, "<bos>", "<unk>"], interesting)
    del more["tokenizer_config.json"]
    write(folder, f"tokenizers {tokenizers.__version__}", encode, decode, more)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)

    # And as Llama 2 has it: a space before the text, taken away again when decoding.
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = None
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(content=" ", left=1, right=0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", pair="<bos> $A $B <eos>", special_tokens=[("<bos>", vocab["<bos>"]), ("<eos>", vocab["<eos>"])]
    )
    encode, decode = json_vectors(tokenizer, 4, count, markup, interesting + [vocab["▁"]])
    folder = out / "llama-json"
    write(folder, f"tokenizers {tokenizers.__version__}", encode, decode)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)


def prefixed(out, count):
    """SentencePiece's own defaults for white space, with a small character map, with and without byte fallback."""
    rules = io.StringIO()
    pairs = [("ﬁ", "fi"), ("①", "1"), ("½", "1/2"), ("e\u0301", "é"), ("o\u0308", "ö"), ("\u3000", " "), ("\u00a0", " "), ("\t", " ")]
    pairs += [("\n", " "), ("\u200b", ""), ("ß", "ss"), ("İ", "i\u0307"), ("ﷺ", "صلى الله"), ("a\u0323\u0302", "ậ")]
    pairs += [(chr(0xFF01 + i), chr(0x21 + i)) for i in range(94)]
    for source, target in pairs:
        codes = lambda text: " ".join(f"{ord(c):X}" for c in text)
        rules.write(f"{codes(source)}\t{codes(target)}\n")
    out.mkdir(parents=True, exist_ok=True)
    table = out / "rules.tsv"
    table.write_text(rules.getvalue())
    for name, seed, fallback in [("prefixed", 5, True), ("no-fallback", 6, False)]:
        symbols = ["<sep>", "①②"]
        model = train_sentencepiece(
            CORPUS * 3,
            vocab_size=720 if fallback else 420,
            byte_fallback=fallback,
            normalization_rule_tsv=str(table),
            character_coverage=0.98,
            user_defined_symbols=symbols,
        )
        encode, decode = sentencepiece_vectors(model, seed, count, symbols, bytes_and_specials)
        folder = out / name
        write(folder, f"sentencepiece {sentencepiece.__version__}", encode, decode)
        (folder / "tokenizer.model").write_bytes(model)
    table.unlink()


def nmt(out, count):
    """The character map that most published models carry; 240 kB, so only made for thorough checks."""
    for name, seed, rule in [("nmt-nfkc", 7, "nmt_nfkc"), ("nmt-nfkc-cf", 8, "nmt_nfkc_cf"), ("nfkc", 9, "nfkc")]:
        model = train_sentencepiece(CORPUS * 3, vocab_size=800, byte_fallback=True, normalization_rule_name=rule)
        encode, decode = sentencepiece_vectors(model, seed, count, [], bytes_and_specials)
        folder = out / name
        write(folder, f"sentencepiece {sentencepiece.__version__}", encode, decode)
        (folder / "tokenizer.model").write_bytes(model)


def main():
    out = Path(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    qwen(out, count)
    gemma(out, count)
    prefixed(out, count)
    if count > 1000:
        nmt(out, count)


if __name__ == "__main__":
    main()
