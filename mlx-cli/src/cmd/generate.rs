// SPDX-License-Identifier: EUPL-1.2
//! `mlx generate`: answer a prompt, or continue it.

use crate::cmd::{follow, interruptible, load};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::plan::{Generate, Prompt};
use crate::report::{self, GenerationReport};

/// Runs the command.
pub(crate) fn run(plan: Generate, interrupt: &Interrupt) -> Result<(), Failure> {
    let model = load(&plan.dir, plan.adapter.as_deref())?;
    let ids = match plan.prompt {
        Prompt::Ids(ids) => ids,
        Prompt::Text(text) => model.prompt_ids(&text, &plan.options)?,
    };
    let options = interruptible(plan.options, interrupt);
    let generation = interrupt.softened(|| follow(model.stream(&ids, &options)?, interrupt, !plan.json))?;
    if plan.json {
        report::json(&GenerationReport::new(&generation, model.load_seconds()))?;
    } else {
        report::figures(&generation, model.load_seconds());
    }
    if interrupt.came() { Err(Failure::Interrupted) } else { Ok(()) }
}
