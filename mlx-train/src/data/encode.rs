// SPDX-License-Identifier: EUPL-1.2
//! Records → tokens, and which of them are to be learnt.
//!
//! A mask is found by asking the chat template twice for each answer: how it prompts for the answer (the turns before
//! it, with the generation prompt), and how it writes the conversation up to the answer. What the second has behind the
//! first is the answer with the end of its turn. So a mask is what the model says after what it is given when it is
//! used, whatever the template does; `{% generation %}` blocks of templates are not needed.

use std::num::NonZero;
use std::ops::Range;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

use mlx_models::{ChatOptions, Message, Tokenizer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::read::Records;
use crate::data::record::{Record, Text};
use crate::error::{Error, Result};

/// Tokens, and for each whether it is a target: whether the model is to learn to say it after those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    ids: Vec<u32>,
    mask: Vec<bool>,
}

impl Example {
    /// An example of `ids` whose targets are marked in `mask`. The first token follows nothing, so it is no target
    /// whatever `mask` says.
    ///
    /// # Errors
    /// [`Error::Argument`] when the two differ in length, or when no target is left.
    pub fn new(ids: Vec<u32>, mut mask: Vec<bool>) -> Result<Example> {
        if ids.len() != mask.len() {
            let message = format!("expected one for each of {} tokens, found {}", ids.len(), mask.len());
            return Err(Error::argument("mask", message));
        }
        if let Some(first) = mask.first_mut() {
            *first = false;
        }
        if !mask.contains(&true) {
            return Err(Error::argument("mask", "expected a target behind the first token"));
        }
        Ok(Example { ids, mask })
    }

    /// The tokens, at least two.
    #[must_use]
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// For each token, whether it is a target.
    #[must_use]
    pub fn mask(&self) -> &[bool] {
        &self.mask
    }

    /// How many tokens are targets; at least one.
    #[must_use]
    pub fn targets(&self) -> usize {
        self.mask.iter().filter(|&&target| target).count()
    }
}

/// What is learnt of a conversation, or of a prompt with its completion. Of a text it is everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossOn {
    /// Each answer of the assistant, its end of turn included; of a prompt with its completion, those of the completion.
    #[default]
    Answers,
    /// The last answer alone.
    LastAnswer,
    /// Everything, as the template writes the whole conversation.
    All,
}

/// What becomes of an example that is longer than `max_length`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TooLong {
    /// Its end is cut off; where no target is left, it is dropped.
    #[default]
    Truncate,
    /// It is an error.
    Refuse,
}

/// How records become examples.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodeOptions {
    /// What is learnt. Default: each answer.
    pub loss_on: LossOn,
    /// The longest example, in tokens, at least 2. Default: 2048.
    pub max_length: usize,
    /// What becomes of longer ones. Default: their end is cut off.
    pub too_long: TooLong,
    /// Whether texts, and completions without a chat template, end with the tokenizer's `eos_token`. Default: true.
    pub append_eos: bool,
    /// What else the chat template is told. `add_generation_prompt` is set as needed, and `tools` where a record has some.
    pub chat: ChatOptions,
}

impl Default for EncodeOptions {
    fn default() -> EncodeOptions {
        EncodeOptions {
            loss_on: LossOn::default(),
            max_length: 2048,
            too_long: TooLong::default(),
            append_eos: true,
            chat: ChatOptions::default(),
        }
    }
}

/// The examples of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// In the order of the records. A conversation may give several, as [`encode`] says.
    pub examples: Vec<Example>,
    /// How many lost their end.
    pub truncated: usize,
    /// How many are not among them, because no target was left.
    pub dropped: usize,
}

/// Encodes all records of a file.
///
/// - A conversation goes through the chat template. One example teaches all of its answers if the template writes each
///   of them, and what is before it, in the whole as it does when the answer comes last. A template that rewrites what
///   is past (Qwen 3 drops the thoughts of earlier turns) gives as many examples as that takes; each answer is learnt
///   once, after exactly what the model is given before it. What follows the last answer is left out.
/// - A prompt with its completion is a conversation of two turns, or more where they are lists of messages. Without a
///   chat template it is the one text behind the other, then the end of text.
/// - A text is learnt from its first word to the end of text.
///
/// # Errors
/// [`Error::Encode`] with what the tokenizer or the template says, [`Error::Line`] for a conversation without an answer,
/// for one whose answers cannot be told from the rest, and for a long one where that is refused;
/// [`Error::Argument`] for a `max_length` below 2, and where the tokenizer knows no end of text that is to be appended.
pub fn encode(records: &Records, tokenizer: &Tokenizer, options: &EncodeOptions) -> Result<Encoded> {
    if options.max_length < 2 {
        let message = format!("expected 2 or more, found {}", options.max_length);
        return Err(Error::argument("max_length", message));
    }
    let encoder = Encoder { tokenizer, options };
    let mut encoded = Encoded { examples: Vec::new(), truncated: 0, dropped: 0 };
    for (line, examples) in encoder.all(records)? {
        for (mut ids, mut mask) in examples {
            if ids.len() > options.max_length {
                if options.too_long == TooLong::Refuse {
                    let message = format!("{} tokens, expected {} at most", ids.len(), options.max_length);
                    return Err(Error::Line { path: records.path().to_owned(), line, message });
                }
                ids.truncate(options.max_length);
                mask.truncate(options.max_length);
                encoded.truncated += 1;
            }
            match Example::new(ids, mask) {
                Ok(example) => encoded.examples.push(example),
                Err(_) => encoded.dropped += 1,
            }
        }
    }
    Ok(encoded)
}

/// Why a record gives no examples.
enum Failure {
    Models(mlx_models::Error),
    Record(String),
    NoEos,
}

impl<E: Into<mlx_models::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Models(error.into())
    }
}

/// Tokens and their mask, of any length.
type Marked = (Vec<u32>, Vec<bool>);

/// One answer, as the template writes it.
struct Answer {
    /// The length of what the model is given, in bytes.
    prompt: usize,
    /// The conversation up to the answer's end.
    text: String,
}

struct Encoder<'a> {
    tokenizer: &'a Tokenizer,
    options: &'a EncodeOptions,
}

impl Encoder<'_> {
    /// The examples of each line, encoded by all processors at once; the error of the first line that has one.
    fn all(&self, records: &Records) -> Result<Vec<(usize, Vec<Marked>)>> {
        let lines: Vec<(usize, &Record)> = records.iter().collect();
        let workers = thread::available_parallelism().map_or(1, NonZero::get);
        let work = |part: &[(usize, &Record)]| -> Result<Vec<(usize, Vec<Marked>)>> {
            part.iter().map(|&(line, record)| Ok((line, self.line(records.path(), line, record)?))).collect()
        };
        let work = &work;
        let parts = thread::scope(|scope| {
            let parts = lines.chunks(lines.len().div_ceil(workers).max(1));
            let start = |part| thread::Builder::new().spawn_scoped(scope, move || work(part));
            let threads = parts.map(start).collect::<std::io::Result<Vec<_>>>();
            let threads = threads.map_err(|source| Error::io(records.path(), source))?;
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|payload| resume_unwind(payload)))
                .collect::<Result<Vec<_>>>()
        })?;
        Ok(parts.into_iter().flatten().collect())
    }

    /// The examples of one line.
    fn line(&self, path: &Path, line: usize, record: &Record) -> Result<Vec<Marked>> {
        self.record(record).map_err(|failure| match failure {
            Failure::Models(source) => Error::Encode { path: path.to_owned(), line, source: source.into() },
            Failure::Record(message) => Error::Line { path: path.to_owned(), line, message },
            Failure::NoEos => {
                Error::argument("append_eos", "the tokenizer's files name no `eos_token` that it knows")
            }
        })
    }

    fn record(&self, record: &Record) -> Result<Vec<Marked>, Failure> {
        match record {
            Record::Text(text) => {
                let (ids, _) = self.plain(text, &[])?;
                let mask = vec![true; ids.len()];
                Ok(vec![(ids, mask)])
            }
            Record::Chat { messages, tools } => self.chat(messages, 0, tools.as_ref()),
            Record::Completion {
                prompt: Text::Plain(prompt), completion: Text::Plain(completion), ..
            } if self.tokenizer.chat_template().is_none() => {
                let (ids, starts) = self.plain(&format!("{prompt}{completion}"), &[prompt.len()])?;
                let start = if self.options.loss_on == LossOn::All { None } else { starts.first().copied() };
                let mask = (0..ids.len()).map(|index| Some(index) >= start).collect();
                Ok(vec![(ids, mask)])
            }
            Record::Completion { prompt, completion, tools } => {
                let turns = |text: &Text, role: &str| match text {
                    Text::Plain(text) => vec![Message::new(role, text.as_str())],
                    Text::Messages(messages) => messages.clone(),
                };
                let mut messages = turns(prompt, "user");
                let given = messages.len();
                messages.extend(turns(completion, "assistant"));
                self.chat(&messages, given, tools.as_ref())
            }
        }
    }

    /// A text with what the tokenizer puts before one, and its end. Says where `cuts`, in bytes, are in the tokens.
    fn plain(&self, text: &str, cuts: &[usize]) -> Result<(Vec<u32>, Vec<usize>), Failure> {
        let (mut ids, mut positions) = self.split(text, cuts)?;
        if let Some(bos) = self.tokenizer.bos().filter(|bos| ids.first() != Some(bos)) {
            ids.insert(0, bos);
            positions.iter_mut().for_each(|position| *position += 1);
        }
        if self.options.append_eos {
            let name = self.tokenizer.special_token("eos_token");
            let eos = name.and_then(|name| self.tokenizer.id(name)).ok_or(Failure::NoEos)?;
            if ids.last() != Some(&eos) {
                ids.push(eos);
            }
        }
        Ok((ids, positions))
    }

    /// A conversation; the first `given` messages are never learnt.
    fn chat(
        &self,
        messages: &[Message],
        given: usize,
        tools: Option<&Value>,
    ) -> Result<Vec<Marked>, Failure> {
        if self.options.loss_on == LossOn::All {
            let ids = self.tokenizer.encode(&self.render(messages, tools, false)?, false)?;
            let mask = vec![true; ids.len()];
            return Ok(vec![(ids, mask)]);
        }
        let roles = messages.iter().enumerate().skip(given);
        let mut indices: Vec<usize> =
            roles.filter(|(_, message)| message.role == "assistant").map(|(index, _)| index).collect();
        if self.options.loss_on == LossOn::LastAnswer {
            indices = indices.last().copied().into_iter().collect();
        }
        if indices.is_empty() {
            return Err(Failure::Record("expected a message of the assistant to learn".into()));
        }
        let mut answers = Vec::new();
        for index in indices {
            answers.push(self.answer(messages, index, tools)?);
        }

        // From the last answer backwards: what its conversation has word for word is learnt with it.
        let mut examples = Vec::new();
        while let Some(last) = answers.last() {
            let whole = last.text.clone();
            let (with_it, others): (Vec<Answer>, Vec<Answer>) =
                answers.into_iter().partition(|answer| whole.starts_with(&answer.text));
            examples.push(self.mark(&whole, &with_it)?);
            answers = others;
        }
        examples.reverse();
        Ok(examples)
    }

    fn answer(&self, messages: &[Message], index: usize, tools: Option<&Value>) -> Result<Answer, Failure> {
        let (Some(before), Some(through)) = (messages.get(..index), messages.get(..=index)) else {
            return Err(Failure::Record(format!("message {index} is not there")));
        };
        if before.is_empty() {
            return Err(Failure::Record("message 0 is the assistant's, and answers nothing".into()));
        }
        let prompt = self.render(before, tools, true)?;
        let text = self.render(through, tools, false)?;
        if !text.starts_with(&prompt) {
            return Err(Failure::Record(format!(
                "the chat template prompts for message {index} with one text and writes the message after another, so \
                 what is to be learnt cannot be told: {}",
                difference(&prompt, &text)
            )));
        }
        Ok(Answer { prompt: prompt.len(), text })
    }

    fn render(
        &self,
        messages: &[Message],
        tools: Option<&Value>,
        add_generation_prompt: bool,
    ) -> Result<String, Failure> {
        let mut chat = ChatOptions { add_generation_prompt, ..self.options.chat.clone() };
        if let Some(tools) = tools {
            chat.tools = Some(tools.clone());
        }
        Ok(self.tokenizer.render_chat(messages, &chat)?)
    }

    /// The tokens of a rendered conversation, with `answers` as targets.
    fn mark(&self, text: &str, answers: &[Answer]) -> Result<Marked, Failure> {
        let cuts: Vec<usize> = answers.iter().flat_map(|answer| [answer.prompt, answer.text.len()]).collect();
        let (mut ids, positions) = self.split(text, &cuts)?;
        let mut mask = vec![false; ids.len()];
        let mut end = 0;
        for pair in positions.chunks_exact(2) {
            let &[start, through] = pair else { continue };
            end = self.end_of_turn(&ids, start..through)?;
            if let Some(targets) = mask.get_mut(start..end) {
                targets.fill(true);
            }
        }
        ids.truncate(end);
        mask.truncate(end);
        Ok((ids, mask))
    }

    /// Where an answer ends: behind its end-of-turn token, since the model says nothing of the white space that templates
    /// put between turns; at its very end where it has no such token.
    fn end_of_turn(&self, ids: &[u32], range: Range<usize>) -> Result<usize, Failure> {
        let answer = ids.get(range.clone()).unwrap_or_default();
        let ends = |&id: &u32| self.tokenizer.is_special(id) || self.tokenizer.eos().contains(&id);
        if let Some(last) = answer.iter().rposition(ends) {
            let rest = answer.get(last + 1..).unwrap_or_default();
            if self.tokenizer.decode(rest, false)?.trim().is_empty() {
                return Ok(range.start + last + 1);
            }
        }
        Ok(range.end)
    }

    /// The tokens of `text`, and where the `cuts`, ascending and in bytes, are in them.
    ///
    /// A cut is where the tokens of the text before it end. If one token reaches over a cut (a prompt ends with a line
    /// break, and the answer begins with one), the pieces between the cuts are encoded by themselves, as they are when
    /// the model is used.
    fn split(&self, text: &str, cuts: &[usize]) -> Result<(Vec<u32>, Vec<usize>), Failure> {
        let whole = self.tokenizer.encode(text, false)?;
        let mut positions = Vec::new();
        for &cut in cuts {
            let head = self.tokenizer.encode(text.get(..cut).unwrap_or(text), false)?;
            if !whole.starts_with(&head) {
                break;
            }
            positions.push(head.len());
        }
        if positions.len() == cuts.len() {
            return Ok((whole, positions));
        }
        let (mut ids, mut start) = (Vec::new(), 0);
        positions.clear();
        for &cut in cuts {
            ids.extend(self.tokenizer.encode(text.get(start..cut).unwrap_or_default(), false)?);
            positions.push(ids.len());
            start = cut;
        }
        ids.extend(self.tokenizer.encode(text.get(start..).unwrap_or_default(), false)?);
        if self.tokenizer.decode(&ids, false)? != self.tokenizer.decode(&whole, false)? {
            let message = "the tokenizer joins what is given and what is to be learnt into one token, and encodes them \
                           differently apart";
            return Err(Failure::Record(message.into()));
        }
        Ok((ids, positions))
    }
}

/// Where two texts part, in a few characters of each.
fn difference(a: &str, b: &str) -> String {
    const SHOWN: usize = 40;
    let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    let rest = |text: &str| text.chars().skip(same).take(SHOWN).collect::<String>();
    format!("after {same} characters one goes on with {:?}, the other with {:?}", rest(a), rest(b))
}
