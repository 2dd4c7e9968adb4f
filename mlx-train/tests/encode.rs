// SPDX-License-Identifier: EUPL-1.2
//! Masks: what transformers marks, and what no template marks.

use mlx_models::{ChatOptions, Tokenizer};
use mlx_train::data::{EncodeOptions, Encoded, Example, LossOn, TooLong, encode};
use serde_json::{Value, json};

use crate::common::{checkpoint, records, thinker, tokenizer_with};

const QWEN: &str = "tiny-chat-qwen3";
const GEMMA: &str = "tiny-chat-gemma3";

fn tokenizer(name: &str) -> Tokenizer {
    Tokenizer::from_dir(checkpoint(name)).unwrap()
}

fn encode_one(record: Value, tokenizer: &Tokenizer, options: &EncodeOptions) -> Encoded {
    encode(&records(&[record]), tokenizer, options).unwrap()
}

fn fails(record: Value, tokenizer: &Tokenizer, options: &EncodeOptions) -> String {
    let message = encode(&records(&[record]), tokenizer, options).unwrap_err().to_string();
    message.split_once(": line 1: ").map_or(message.clone(), |(_, rest)| rest.to_owned())
}

/// The text of an example, with targets in brackets.
fn shown(example: &Example, tokenizer: &Tokenizer) -> String {
    let mut text = String::new();
    let pairs: Vec<(u32, bool)> = example.ids().iter().copied().zip(example.mask().iter().copied()).collect();
    for run in pairs.chunk_by(|a, b| a.1 == b.1) {
        let ids: Vec<u32> = run.iter().map(|(id, _)| *id).collect();
        let piece = tokenizer.decode(&ids, false).unwrap();
        text.push_str(&if run[0].1 { format!("[{piece}]") } else { piece });
    }
    text
}

fn all_shown(encoded: &Encoded, tokenizer: &Tokenizer) -> Vec<String> {
    encoded.examples.iter().map(|example| shown(example, tokenizer)).collect()
}

#[test]
fn masks_are_those_of_transformers() {
    let golden: Value = serde_json::from_str(include_str!("golden/masks.json")).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() >= 9);
    for case in cases {
        let name = case["checkpoint"].as_str().unwrap();
        let tokenizer = match case["template"].as_str().unwrap() {
            "thinker" => tokenizer_with(name, Some(&thinker())),
            _ => tokenizer(name),
        };
        let encoded = encode_one(case["record"].clone(), &tokenizer, &EncodeOptions::default());
        let expected: Vec<Example> = case["examples"]
            .as_array()
            .unwrap()
            .iter()
            .map(|example| {
                let ids: Vec<u32> = serde_json::from_value(example["ids"].clone()).unwrap();
                let targets: Vec<(usize, usize)> =
                    serde_json::from_value(example["targets"].clone()).unwrap();
                let mask =
                    (0..ids.len()).map(|i| targets.iter().any(|&(a, b)| (a..b).contains(&i))).collect();
                Example::new(ids, mask).unwrap()
            })
            .collect();
        assert_eq!(encoded.examples, expected, "{}", case["name"]);
        assert_eq!((encoded.truncated, encoded.dropped), (0, 0));
    }
}

#[test]
fn loss_is_on_all_answers_the_last_or_everything() {
    let tokenizer = tokenizer(QWEN);
    let chat = json!({"messages": [
        {"role": "system", "content": "S"}, {"role": "user", "content": "A"}, {"role": "assistant", "content": "B"},
        {"role": "user", "content": "C"}, {"role": "assistant", "content": "D"}, {"role": "user", "content": "E"},
    ]});
    for (loss_on, expected) in [
        (
            LossOn::Answers,
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nA<|im_end|>\n<|im_start|>assistant\n[B<|im_end|>]\n\
             <|im_start|>user\nC<|im_end|>\n<|im_start|>assistant\n[D<|im_end|>]",
        ),
        (
            LossOn::LastAnswer,
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nA<|im_end|>\n<|im_start|>assistant\nB<|im_end|>\n\
             <|im_start|>user\nC<|im_end|>\n<|im_start|>assistant\n[D<|im_end|>]",
        ),
        (
            LossOn::All,
            "<|im_start|>[system\nS<|im_end|>\n<|im_start|>user\nA<|im_end|>\n<|im_start|>assistant\nB<|im_end|>\n\
             <|im_start|>user\nC<|im_end|>\n<|im_start|>assistant\nD<|im_end|>\n<|im_start|>user\nE<|im_end|>\n]",
        ),
    ] {
        let options = EncodeOptions { loss_on, ..EncodeOptions::default() };
        assert_eq!(all_shown(&encode_one(chat.clone(), &tokenizer, &options), &tokenizer), [expected]);
    }
}

#[test]
fn a_completion_goes_through_the_template_where_there_is_one() {
    let tokenizer = tokenizer(GEMMA);
    let options = EncodeOptions::default();
    let header = "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n";
    let plain = json!({"prompt": "Hi", "completion": "Yes"});
    assert_eq!(
        all_shown(&encode_one(plain, &tokenizer, &options), &tokenizer),
        [format!("{header}[Yes<end_of_turn>]")]
    );
    // The answer in the prompt is given, not learnt.
    let lists = json!({
        "prompt": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}],
        "completion": [{"role": "user", "content": "Well"}, {"role": "assistant", "content": "No"}],
    });
    assert_eq!(
        all_shown(&encode_one(lists, &tokenizer, &options), &tokenizer),
        [format!(
            "{header}Yes<end_of_turn>\n<start_of_turn>user\nWell<end_of_turn>\n<start_of_turn>model\n[No<end_of_turn>]"
        )]
    );
}

#[test]
fn without_a_template_a_completion_follows_its_prompt_and_ends() {
    let options = EncodeOptions::default();
    for (name, expected) in [(QWEN, "Is it? [Yes.<|im_end|>]"), (GEMMA, "<bos>Is it? [Yes.<eos>]")] {
        let tokenizer = tokenizer_with(name, None);
        let record = json!({"prompt": "Is it? ", "completion": "Yes."});
        assert_eq!(all_shown(&encode_one(record, &tokenizer, &options), &tokenizer), [expected]);
    }
    let tokenizer = tokenizer_with(GEMMA, None);
    let record = json!({"prompt": "Is it? ", "completion": "Yes."});
    let everything = EncodeOptions { loss_on: LossOn::All, append_eos: false, ..EncodeOptions::default() };
    assert_eq!(all_shown(&encode_one(record, &tokenizer, &everything), &tokenizer), ["<bos>[Is it? Yes.]"]);
    let lists = json!({"prompt": "Hi", "completion": [{"role": "assistant", "content": "Yes"}]});
    let message = fails(lists, &tokenizer, &options);
    assert!(message.contains("has no chat template"), "{message}");
}

#[test]
fn a_text_is_learnt_whole_and_ends_once() {
    let options = EncodeOptions::default();
    for (name, text, expected) in [
        (QWEN, "Rust is fast.", "Rust[ is fast.<|im_end|>]"),
        (QWEN, "Rust<|im_end|>", "Rust[<|im_end|>]"),
        (GEMMA, "Rust", "<bos>[Rust<eos>]"),
        (GEMMA, "<bos>Rust", "<bos>[Rust<eos>]"),
        (GEMMA, "", "<bos>[<eos>]"),
    ] {
        let tokenizer = tokenizer(name);
        let encoded = encode_one(json!({"text": text}), &tokenizer, &options);
        assert_eq!(all_shown(&encoded, &tokenizer), [expected]);
    }
    // Nothing comes before the only token.
    let encoded = encode_one(json!({"text": ""}), &tokenizer(QWEN), &options);
    assert_eq!((encoded.examples.len(), encoded.dropped), (0, 1));
}

#[test]
fn an_answer_that_begins_like_its_header_ends_is_encoded_by_itself() {
    for (name, header, end) in
        [(QWEN, "<|im_start|>assistant\n", "<|im_end|>"), (GEMMA, "<start_of_turn>model\n", "<end_of_turn>")]
    {
        let tokenizer = tokenizer(name);
        let turns = json!([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "\n\none"}]);
        let encoded = encode_one(json!({"messages": turns}), &tokenizer, &EncodeOptions::default());
        let text = all_shown(&encoded, &tokenizer).concat();
        assert!(text.ends_with(&format!("{header}[\n\none{end}]")), "{text}");
        // What the model is given when it is used is what stands before the answer here.
        let prompt = tokenizer.encode_chat(&turns.as_array().unwrap()[..1], &ChatOptions::default()).unwrap();
        assert!(encoded.examples[0].ids().starts_with(&prompt));
        assert_eq!(encoded.examples[0].mask().iter().take_while(|&&target| !target).count(), prompt.len());
    }
}

#[test]
fn thinking_is_switched_off_where_the_template_is_told() {
    let tokenizer = tokenizer_with(QWEN, Some(&thinker()));
    let chat = json!({"messages": [
        {"role": "user", "content": "A"}, {"role": "assistant", "content": "B"},
        {"role": "user", "content": "C"}, {"role": "assistant", "content": "D"},
    ]});
    let options = EncodeOptions {
        chat: ChatOptions { enable_thinking: Some(false), ..ChatOptions::default() },
        ..EncodeOptions::default()
    };
    let first = "<|im_start|>user\nA<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(
        all_shown(&encode_one(chat, &tokenizer, &options), &tokenizer),
        [
            format!("{first}<think>\n\n</think>\n\n[B<|im_end|>]"),
            format!(
                "{first}B<|im_end|>\n<|im_start|>user\nC<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n[D<|im_end|>]"
            ),
        ]
    );
    // A prompt that rules thoughts out has none behind it.
    let thoughts = json!({"messages": [
        {"role": "user", "content": "A"}, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nB"},
    ]});
    let message = fails(thoughts, &tokenizer, &options);
    assert!(
        message.starts_with(
            "the chat template prompts for message 1 with one text and writes the message after another"
        ),
        "{message}"
    );
    assert!(
        message.ends_with(
            r#"one goes on with "\n</think>\n\n", the other with "hm\n</think>\n\nB<|im_end|>\n""#
        ),
        "{message}"
    );
}

#[test]
fn a_template_without_an_end_of_turn_teaches_what_it_writes() {
    let template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}\
                    {% if add_generation_prompt %}assistant: {% endif %}";
    let tokenizer = tokenizer_with(QWEN, Some(template));
    let chat = json!({"messages": [
        {"role": "user", "content": "A"}, {"role": "assistant", "content": "B"},
        {"role": "user", "content": "C"}, {"role": "assistant", "content": "D"},
    ]});
    assert_eq!(
        all_shown(&encode_one(chat, &tokenizer, &EncodeOptions::default()), &tokenizer),
        ["user: A\nassistant: [B\n]user: C\nassistant: [D\n]"]
    );
}

#[test]
fn long_examples_lose_their_end_or_are_refused() {
    let tokenizer = tokenizer(QWEN);
    let chat = json!({"messages": [{"role": "user", "content": "A"}, {"role": "assistant", "content": "B, C and D"}]});
    let whole = encode_one(chat.clone(), &tokenizer, &EncodeOptions::default()).examples.remove(0);
    let start = whole.mask().iter().take_while(|&&target| !target).count();
    let with = |max_length| EncodeOptions { max_length, ..EncodeOptions::default() };

    let same = encode_one(chat.clone(), &tokenizer, &with(whole.ids().len()));
    assert_eq!((same.examples.as_slice(), same.truncated, same.dropped), (&[whole.clone()][..], 0, 0));
    let cut = encode_one(chat.clone(), &tokenizer, &with(start + 1));
    assert_eq!((cut.examples[0].ids(), cut.truncated, cut.dropped), (&whole.ids()[..=start], 1, 0));
    assert_eq!(cut.examples[0].targets(), 1);
    let gone = encode_one(chat.clone(), &tokenizer, &with(start));
    assert_eq!((gone.examples.len(), gone.truncated, gone.dropped), (0, 1, 1));

    let refuse = EncodeOptions { too_long: TooLong::Refuse, ..with(start) };
    let expected = format!("{} tokens, expected {start} at most", whole.ids().len());
    assert_eq!(fails(chat.clone(), &tokenizer, &refuse), expected);
    assert_eq!(fails(chat, &tokenizer, &with(1)), "max_length: expected 2 or more, found 1");
}

#[test]
fn what_cannot_be_learnt_is_named_with_its_line() {
    let options = EncodeOptions::default();
    let none = json!({"messages": [{"role": "user", "content": "A"}]});
    assert_eq!(fails(none, &tokenizer(QWEN), &options), "expected a message of the assistant to learn");
    let first = json!({"messages": [{"role": "assistant", "content": "A"}]});
    assert_eq!(fails(first, &tokenizer(QWEN), &options), "message 0 is the assistant's, and answers nothing");

    let strict = "{% if messages[0].role == 'system' %}{{ raise_exception('no system here') }}{% endif %}";
    let system =
        json!({"messages": [{"role": "system", "content": "A"}, {"role": "assistant", "content": "B"}]});
    let message = fails(system, &tokenizer_with(QWEN, Some(strict)), &options);
    assert!(message.ends_with(": no system here"), "{message}");
}

#[test]
fn an_end_of_text_that_nobody_names_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(checkpoint(QWEN).join("tokenizer.json"), dir.path().join("tokenizer.json")).unwrap();
    let tokenizer = Tokenizer::from_dir(dir.path()).unwrap();
    let message = fails(json!({"text": "ab"}), &tokenizer, &EncodeOptions::default());
    assert_eq!(message, "append_eos: the tokenizer's files name no `eos_token` that it knows");
    let options = EncodeOptions { append_eos: false, ..EncodeOptions::default() };
    assert_eq!(encode_one(json!({"text": "xq"}), &tokenizer, &options).examples.len(), 1);
}

#[test]
fn the_first_line_that_cannot_be_learnt_is_named_and_the_order_stays() {
    let tokenizer = tokenizer(QWEN);
    let chat = |n: usize| {
        let turns =
            json!([{"role": "user", "content": "A"}, {"role": "assistant", "content": n.to_string()}]);
        json!({ "messages": turns })
    };
    let mut lines: Vec<Value> = (0..100).map(chat).collect();
    let encoded = encode(&records(&lines), &tokenizer, &EncodeOptions::default()).unwrap();
    for (n, text) in all_shown(&encoded, &tokenizer).iter().enumerate() {
        assert!(text.ends_with(&format!("[{n}<|im_end|>]")), "{text}");
    }
    for bad in [97, 60, 31] {
        lines[bad] = json!({"messages": [{"role": "user", "content": "A"}]});
        let message =
            encode(&records(&lines), &tokenizer, &EncodeOptions::default()).unwrap_err().to_string();
        assert!(message.contains(&format!(": line {}: ", bad + 1)), "{message}");
    }
}
