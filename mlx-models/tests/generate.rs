// SPDX-License-Identifier: EUPL-1.2
//! Generation from end to end, on two tiny checkpoints that have learnt a few answers by heart.

use std::cell::RefCell;
use std::rc::Rc;

use mlx_models::{
    CancelToken, ChatOptions, FinishReason, GenerateOptions, Message, Model, Progress, SamplerOptions, load,
};

use crate::common::{copy_of, edit_json, golden};

const CHECKPOINTS: [&str; 2] = ["tiny-chat-qwen3", "tiny-chat-gemma3"];

fn options() -> GenerateOptions {
    GenerateOptions { max_tokens: 60, ..Default::default() }
}

fn text(model: &Model, prompt: &str, options: &GenerateOptions) -> String {
    model.generate(prompt, options).unwrap().text.unwrap()
}

#[test]
fn a_checkpoint_answers_what_it_has_learnt() {
    for case in CHECKPOINTS {
        let model = load(golden(case)).unwrap();
        for (prompt, answer) in [
            ("What is MLX?", "MLX is an array framework for machine learning, made by Apple."),
            ("What is the capital of France?", "The capital of France is Paris."),
            ("How do you say good morning in German?", "Guten Morgen! And for a nice day: Schönen Tag. 🌞"),
        ] {
            let generation = model.generate(prompt, &options()).unwrap();
            assert_eq!(generation.text.as_deref(), Some(answer), "{case}");
            assert_eq!(generation.finish_reason, FinishReason::Stop);
            assert_eq!(generation.generated_tokens, generation.token_ids.len());
            assert!(model.eos().contains(generation.token_ids.last().unwrap()));
            assert!(generation.prompt_tokens > 5 && generation.cached_tokens == 0);
            assert!(generation.time_to_first_token_s > 0.0 && generation.prefill_tps > 0.0);
            assert!(generation.decode_tps.unwrap() > 0.0);
            assert!(generation.peak_memory_bytes >= model.nbytes());
        }
    }
}

#[test]
fn the_prompt_is_rendered_unless_it_is_raw() {
    let model = load(golden("tiny-chat-gemma3")).unwrap();
    let chat = model.prompt_ids("Hello!", &options()).unwrap();
    let messages = [Message::user("Hello!")];
    assert_eq!(chat, model.chat_prompt(&messages, &ChatOptions::default()).unwrap());
    let raw = GenerateOptions { raw: true, ..options() };
    assert_eq!(model.prompt_ids("Hello!", &raw).unwrap(), model.encode("Hello!").unwrap());
    // One <bos> in either case: the template writes its own, and the tokenizer puts one before plain text.
    let bos = model.tokenizer().unwrap().id("<bos>").unwrap();
    for ids in [&chat, &model.encode("Hello!").unwrap()] {
        assert_eq!(ids.iter().filter(|&&id| id == bos).count(), 1);
        assert_eq!(ids[0], bos);
    }
    let system = GenerateOptions { system: Some("Be brief.".into()), ..options() };
    let with_system = [Message::system("Be brief."), Message::user("Hello!")];
    assert_eq!(
        model.prompt_ids("Hello!", &system).unwrap(),
        model.chat_prompt(&with_system, &ChatOptions::default()).unwrap()
    );
    // Qwen 3 has no BOS, and none is made up.
    let qwen3 = load(golden("tiny-chat-qwen3")).unwrap();
    let ids = qwen3.encode("Hello!").unwrap();
    assert_eq!(qwen3.tokenizer().unwrap().decode(&ids, false).unwrap(), "Hello!");
}

#[test]
fn tokens_come_one_by_one_and_join_to_the_text() {
    for case in CHECKPOINTS {
        let model = load(golden(case)).unwrap();
        let ids = model.prompt_ids("How do you say good morning in German?", &options()).unwrap();
        let mut stream = model.stream(&ids, &options()).unwrap();
        let tokens: Vec<_> = (&mut stream).map(|token| token.unwrap()).collect();
        assert_eq!(stream.finish_reason(), Some(FinishReason::Stop));
        assert!(stream.next().is_none());
        let generation = stream.finish().unwrap();
        let pieces: Vec<&str> = tokens.iter().map(|token| token.text.as_deref().unwrap()).collect();
        assert_eq!(Some(pieces.concat()), generation.text, "{case}");
        assert_eq!(tokens.iter().map(|token| token.id).collect::<Vec<_>>(), generation.token_ids);
        // The text is shown as it comes, not at the end, and its last letter is made of several tokens.
        assert!(pieces.iter().filter(|piece| !piece.is_empty()).count() > 5);
        assert!(pieces.iter().any(|piece| piece.is_empty()));
    }
}

#[test]
fn generation_ends_after_as_many_tokens_as_were_asked_for() {
    let model = load(golden("tiny-chat-qwen3")).unwrap();
    let whole = model.generate("Tell me a story.", &options()).unwrap();
    for max_tokens in [0, 1, 2, 7] {
        let generation =
            model.generate("Tell me a story.", &GenerateOptions { max_tokens, ..options() }).unwrap();
        assert_eq!(generation.token_ids, whole.token_ids[..max_tokens]);
        assert_eq!(generation.finish_reason, FinishReason::Length);
        assert_eq!(generation.decode_tps.is_some(), max_tokens > 1);
        assert!(whole.text.as_deref().unwrap().starts_with(generation.text.as_deref().unwrap()));
    }
}

#[test]
fn the_last_token_is_not_computed_any_further() {
    // After n tokens the cache holds the prompt and n - 1 of them: the last one went through no pass.
    let model = load(golden("tiny-chat-qwen3")).unwrap();
    let ids = model.prompt_ids("Tell me a story.", &options()).unwrap();
    for max_tokens in [1, 4] {
        let mut session = model.session();
        let stream = session.stream(&ids, &GenerateOptions { max_tokens, ..options() }).unwrap();
        assert_eq!(stream.collect_all().unwrap().token_ids.len(), max_tokens);
        assert_eq!(session.cached_tokens(), ids.len() + max_tokens - 1);
    }
}

#[test]
fn the_context_ends_generation() {
    let dir = copy_of("tiny-chat-qwen3");
    edit_json(&dir.path().join("config.json"), |config| config["max_position_embeddings"] = 40.into());
    let model = load(dir.path()).unwrap();
    let ids = model.prompt_ids("Tell me a story.", &options()).unwrap();
    let generation = model.generate_ids(&ids, &options()).unwrap();
    assert_eq!(generation.finish_reason, FinishReason::Length);
    assert_eq!(ids.len() + generation.generated_tokens, 40);
}

#[test]
fn ignoring_the_end_goes_on_behind_it() {
    let model = load(golden("tiny-chat-qwen3")).unwrap();
    let ended = model.generate("Is water wet?", &options()).unwrap();
    let forever = GenerateOptions { ignore_eos: true, max_tokens: 30, ..options() };
    let generation = model.generate("Is water wet?", &forever).unwrap();
    assert_eq!(generation.token_ids.len(), 30);
    assert!(generation.token_ids.starts_with(&ended.token_ids));
    assert_eq!(generation.finish_reason, FinishReason::Length);
}

#[test]
fn stop_strings_end_the_text_in_front_of_them_wherever_tokens_are_cut() {
    for case in CHECKPOINTS {
        let model = load(golden(case)).unwrap();
        let whole = text(&model, "Count to ten.", &options());
        assert_eq!(whole, "One, two, three, four, five, six, seven, eight, nine, ten.");
        for stop in ["four", "r, f", "e", "One", ", eight, nine", "ten.", " s", "."] {
            let expected = &whole[..whole.find(stop).unwrap()];
            let options = GenerateOptions { stop: vec!["never".into(), stop.into()], ..options() };
            let ids = model.prompt_ids("Count to ten.", &options).unwrap();
            let mut stream = model.stream(&ids, &options).unwrap();
            let shown: String = (&mut stream).map(|token| token.unwrap().text.unwrap()).collect();
            let generation = stream.finish().unwrap();
            assert_eq!(shown, expected, "{case}: {stop:?}");
            assert_eq!(generation.text.as_deref(), Some(expected));
            assert_eq!(generation.finish_reason, FinishReason::Stop);
        }
        // What is only the beginning of a stop string is held back and shown in the end.
        let options = GenerateOptions { stop: vec!["ten. And".into()], ..options() };
        assert_eq!(text(&model, "Count to ten.", &options), whole);
    }
}

#[test]
fn a_cancelled_generation_keeps_what_it_has() {
    let model = load(golden("tiny-chat-gemma3")).unwrap();
    let cancel = CancelToken::new();
    let options = GenerateOptions { cancel: Some(cancel.clone()), ..options() };
    let ids = model.prompt_ids("Tell me a story.", &options).unwrap();
    let mut stream = model.stream(&ids, &options).unwrap();
    for _ in 0..3 {
        stream.next().unwrap().unwrap();
    }
    cancel.cancel();
    assert!(stream.next().is_none());
    let generation = stream.finish().unwrap();
    assert_eq!((generation.finish_reason, generation.token_ids.len()), (FinishReason::Cancelled, 3));
    assert!("Once a small model".starts_with(generation.text.as_deref().unwrap().split(' ').next().unwrap()));

    let none = model.generate_ids(&ids, &options).unwrap();
    assert_eq!((none.finish_reason, none.token_ids.len()), (FinishReason::Cancelled, 0));
}

#[test]
fn a_long_prompt_is_cancelled_between_its_chunks_and_reports_progress() {
    let model = load(golden("tiny-chat-qwen3")).unwrap();
    let ids = [5u32; 100];
    let seen = Rc::new(RefCell::new(Vec::new()));
    let cancel = CancelToken::new();
    let progress = {
        let (seen, cancel) = (seen.clone(), cancel.clone());
        Progress::new(move |done, total| {
            seen.borrow_mut().push((done, total));
            if done >= 40 {
                cancel.cancel();
            }
        })
    };
    let mut options = GenerateOptions { prefill_chunk: 20, progress: Some(progress), ..options() };
    options.cancel = Some(cancel);
    let generation = model.generate_ids(&ids, &options).unwrap();
    assert_eq!(generation.finish_reason, FinishReason::Cancelled);
    assert_eq!(*seen.borrow(), [(0, 100), (20, 100), (40, 100)]);
    seen.borrow_mut().clear();
    options.cancel = None;
    options.max_tokens = 1;
    model.generate_ids(&ids, &options).unwrap();
    assert_eq!(*seen.borrow(), [(0, 100), (20, 100), (40, 100), (60, 100), (80, 100), (100, 100)]);
}

#[test]
fn a_seed_repeats_a_draw_and_penalties_work_while_tokens_are_in_flight() {
    let model = load(golden("tiny-chat-qwen3")).unwrap();
    let draw = |seed| {
        let sampler = SamplerOptions { temperature: 3.0, seed: Some(seed), ..Default::default() };
        let options = GenerateOptions { sampler, ignore_eos: true, max_tokens: 20, ..options() };
        model.generate("Tell me a story.", &options).unwrap().token_ids
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));

    // With a large presence penalty no token comes twice: each must be counted before the next is chosen.
    let sampler = SamplerOptions { presence_penalty: Some(1e6), ..Default::default() };
    let options = GenerateOptions { sampler, ignore_eos: true, max_tokens: 60, ..options() };
    let mut ids = model.generate("Tell me a story.", &options).unwrap().token_ids;
    assert_eq!(ids.len(), 60);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 60);
}

#[test]
fn a_session_computes_only_what_is_new_and_says_the_same() {
    for case in CHECKPOINTS {
        let model = load(golden(case)).unwrap();
        let mut session = model.session();
        let mut messages = Vec::new();
        for (turn, prompt) in ["Hello!", "What is MLX?", "Thank you.", "Who are you?"].into_iter().enumerate()
        {
            messages.push(Message::user(prompt));
            let ids = model.chat_prompt(&messages, &ChatOptions::default()).unwrap();
            let fresh = model.generate_ids(&ids, &options()).unwrap();
            let reused = session.stream(&ids, &options()).unwrap().collect_all().unwrap();
            assert_eq!(reused.token_ids, fresh.token_ids, "{case}, turn {turn}");
            assert_eq!(reused.prompt_tokens, ids.len());
            assert_eq!(reused.cached_tokens > 0, turn > 0, "{case}, turn {turn}");
            messages.push(Message::assistant(reused.text.unwrap()));
        }
        // Another conversation: the cache is taken back to where the texts part.
        let other = model.chat_prompt(&[Message::user("Count to ten.")], &ChatOptions::default()).unwrap();
        let reused = session.stream(&other, &options()).unwrap().collect_all().unwrap();
        assert_eq!(reused.token_ids, model.generate_ids(&other, &options()).unwrap().token_ids, "{case}");
        // The same prompt again: its last token is computed once more.
        let again = session.stream(&other, &options()).unwrap().collect_all().unwrap();
        assert_eq!((again.token_ids, again.cached_tokens), (reused.token_ids, other.len() - 1), "{case}");
    }
}

#[test]
fn a_session_survives_a_stream_that_was_dropped_and_one_that_was_cancelled() {
    for case in CHECKPOINTS {
        let model = load(golden(case)).unwrap();
        let ids = model.prompt_ids("Tell me a story.", &options()).unwrap();
        let whole = model.generate_ids(&ids, &options()).unwrap().token_ids;
        let mut session = model.session();
        for steps in [0, 1, 2, 5] {
            let mut stream = session.stream(&ids, &options()).unwrap();
            for _ in 0..steps {
                stream.next().unwrap().unwrap();
            }
            drop(stream);
            let cancel = CancelToken::new();
            cancel.cancel();
            let cancelled = GenerateOptions { cancel: Some(cancel), ..options() };
            session.stream(&ids, &cancelled).unwrap().collect_all().unwrap();
            let reused = session.stream(&ids, &options()).unwrap().collect_all().unwrap();
            assert_eq!(reused.token_ids, whole, "{case} after {steps} steps");
        }
    }
}

#[test]
fn a_session_past_the_window_stays_exact() {
    // The window is 16 tokens: going back further than the cache remembers starts anew.
    let model = load(golden("gemma3-window")).unwrap();
    let mut session = model.session();
    let text: Vec<u32> = (0..480).map(|i| 3 + (i * i + 7 * i) % 300).collect();
    let options =
        GenerateOptions { max_tokens: 4, ignore_eos: true, prefill_chunk: 32, ..Default::default() };
    for length in [450, 470, 440, 300, 20, 10, 460] {
        let ids = &text[..length];
        let reused = session.stream(ids, &options).unwrap().collect_all().unwrap();
        let fresh = model.generate_ids(ids, &options).unwrap();
        assert_eq!(reused.token_ids, fresh.token_ids, "{length} tokens, {} cached", reused.cached_tokens);
    }
}

#[test]
fn logits_that_are_no_numbers_are_an_error_and_leave_a_usable_session() {
    use mlx_core::Array;
    use mlx_core::io::{load_safetensors, save_safetensors};
    let dir = copy_of("qwen3-tied");
    let path = dir.path().join("model.safetensors");
    let mut tensors = load_safetensors(&path).unwrap().tensors;
    let table = tensors.get_mut("model.embed_tokens.weight").unwrap();
    let nan = Array::full(&[1, 64], f64::NAN, mlx_core::Dtype::Float32).unwrap();
    *table = table.slice_update_axis(&nan, 0, 7, 8).unwrap();
    let named = tensors.iter().map(|(name, array)| (name.as_str(), array));
    save_safetensors(&path, named, &Default::default()).unwrap();
    let model = load(dir.path()).unwrap();
    let options = GenerateOptions { max_tokens: 3, ..Default::default() };
    let mut session = model.session();
    let error = session.stream(&[1, 7], &options).unwrap().collect_all().unwrap_err().to_string();
    assert!(error.contains("NaN"), "{error}");
    assert_eq!(session.cached_tokens(), 0);
}
