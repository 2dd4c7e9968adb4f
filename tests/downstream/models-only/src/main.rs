// SPDX-License-Identifier: EUPL-1.2
//! Models alone: text and a classification from a checkpoint, token by token as well as at once.

use mlx_models::{FinishReason, GenerateOptions, Message, Result, load};

fn main() -> Result<()> {
    for family in ["qwen3", "gemma3"] {
        let dir =
            format!("{}/../../../mlx-models/tests/golden/tiny-chat-{family}", env!("CARGO_MANIFEST_DIR"));
        let model = load(dir)?;

        let answer = model.generate("What is the capital of France?", &GenerateOptions::default())?;
        assert_eq!(answer.text.as_deref(), Some("The capital of France is Paris."));
        assert_eq!(answer.finish_reason, FinishReason::Stop);

        let options = GenerateOptions { max_tokens: 3, ..GenerateOptions::default() };
        let ids = model.prompt_ids("Count to ten.", &options)?;
        let mut streamed = String::new();
        for token in model.stream(&ids, &options)? {
            streamed += &token?.text.unwrap_or_default();
        }
        assert!("One, two, three".starts_with(&streamed) && !streamed.is_empty(), "{streamed:?}");

        let scores = model.classify_chat(&[Message::user("Is fire cold?")], &["yes", "no"])?;
        let best = scores.best().map(|score| score.answer.as_str());
        assert_eq!(best, Some("no"), "{scores:?}");
        println!("{}: {:?}; is fire cold? {best:?}", model.architecture(), answer.text);
    }
    assert!(load("no/such/checkpoint").is_err());
    Ok(())
}
