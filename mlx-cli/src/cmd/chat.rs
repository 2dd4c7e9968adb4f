// SPDX-License-Identifier: EUPL-1.2
//! `mlx chat`: a conversation.
//!
//! The whole conversation is rendered anew through the chat template for each answer, since templates may show older
//! turns in another way than newer ones. What has not changed is in the cache and is not computed again.

use std::io::{self, BufRead, IsTerminal};

use mlx_models::{ChatOptions, GenerateOptions, Generation, Message, Session};

use crate::cmd::{follow, interruptible, load};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::plan::Chat;
use crate::report;

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Line<'l> {
    Nothing,
    Say(&'l str),
    Reset,
    System(&'l str),
    Exit,
    Unknown(&'l str),
}

impl<'l> Line<'l> {
    fn new(line: &'l str) -> Self {
        let line = line.trim();
        let Some(command) = line.strip_prefix('/') else {
            return if line.is_empty() { Self::Nothing } else { Self::Say(line) };
        };
        match command.split_once(char::is_whitespace).unwrap_or((command, "")) {
            ("reset", "") => Self::Reset,
            ("exit", "") => Self::Exit,
            ("system", text) => Self::System(text.trim()),
            // A path or a fraction may begin with a stroke, too.
            (name, _) if name.chars().all(|c| c.is_ascii_lowercase()) && !name.is_empty() => {
                Self::Unknown(name)
            }
            _ => Self::Say(line),
        }
    }
}

/// A conversation, and the cache that goes with it.
struct Conversation<'m> {
    session: Session<'m>,
    system: Option<String>,
    turns: Vec<Message>,
    options: GenerateOptions,
}

/// Runs the command.
pub(crate) fn run(plan: Chat, interrupt: &Interrupt) -> Result<(), Failure> {
    let model = load(&plan.dir, plan.adapter.as_deref())?;
    match model.tokenizer() {
        None => return Err(mlx_models::Error::NoTokenizer.into()),
        Some(tokenizer) if tokenizer.chat_template().is_none() => {
            return Err(mlx_models::Error::NoChatTemplate.into());
        }
        Some(_) => {}
    }
    let mut conversation = Conversation {
        session: model.session(),
        system: plan.system,
        turns: Vec::new(),
        options: plan.options,
    };
    let stdin = io::stdin();
    let attended = stdin.is_terminal();
    if attended {
        report::note("Ctrl-C stops an answer, Ctrl-D leaves; /reset, /system TEXT, /exit");
    }
    let mut bytes = Vec::new();
    loop {
        if attended {
            report::prompt("> ");
        }
        bytes.clear();
        let length = stdin
            .lock()
            .read_until(b'\n', &mut bytes)
            .map_err(|error| Failure::new(format_args!("standard input: {error}")))?;
        if length == 0 {
            if attended {
                report::note("");
            }
            return Ok(());
        }
        let text = str::from_utf8(&bytes).map_err(|_| Failure::new("standard input: a line is not UTF-8"))?;
        match Line::new(text) {
            Line::Nothing => {}
            Line::Exit => return Ok(()),
            Line::Reset => conversation.turns.clear(),
            Line::System(text) => {
                conversation.system = (!text.is_empty()).then(|| text.to_owned());
                conversation.turns.clear();
            }
            Line::Unknown(name) => {
                report::note(format_args!("/{name} is no command; /reset, /system TEXT and /exit are"))
            }
            Line::Say(text) => match conversation.answer(text, interrupt) {
                Ok(generation) => report::figures(&generation, model.load_seconds()),
                // One message that is too long, say, is no reason to lose the conversation.
                Err(failure @ Failure::Failed(_)) if attended => {
                    report::error(&failure.message().unwrap_or_default());
                }
                Err(failure) => return Err(failure),
            },
        }
        if interrupt.came() && !attended {
            return Err(Failure::Interrupted);
        }
    }
}

impl Conversation<'_> {
    /// Answers `text`, and remembers both. An answer that was broken off is remembered as far as it came.
    fn answer(&mut self, text: &str, interrupt: &Interrupt) -> Result<Generation, Failure> {
        let system = self.system.iter().map(|text| Message::system(text.as_str()));
        let question = Message::user(text);
        let messages: Vec<Message> =
            system.chain(self.turns.iter().cloned()).chain([question.clone()]).collect();
        let ids = self.session.model().chat_prompt(&messages, &ChatOptions::default())?;
        let options = interruptible(self.options.clone(), interrupt);
        let generation =
            interrupt.softened(|| follow(self.session.stream(&ids, &options)?, interrupt, true))?;
        self.turns.push(question);
        self.turns.push(Message::assistant(generation.text.clone().unwrap_or_default()));
        Ok(generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_messages_or_commands() {
        for (line, expected) in [
            ("\n", Line::Nothing),
            ("  hello \r\n", Line::Say("hello")),
            ("/reset\n", Line::Reset),
            ("/exit", Line::Exit),
            ("/system  Be brief. \n", Line::System("Be brief.")),
            ("/system", Line::System("")),
            ("/quit", Line::Unknown("quit")),
            ("/reset now", Line::Unknown("reset")),
            ("/usr/bin is a folder", Line::Say("/usr/bin is a folder")),
            ("/", Line::Say("/")),
            ("1/2", Line::Say("1/2")),
        ] {
            assert_eq!(Line::new(line), expected);
        }
    }
}
