// SPDX-License-Identifier: EUPL-1.2
//! `mlx logits`: one forward pass, written to a file.

use std::collections::BTreeMap;

use mlx_core::io::save_safetensors;

use crate::cmd::load;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::plan::Logits;
use crate::report;

/// Runs the command.
pub(crate) fn run(plan: Logits, interrupt: &Interrupt) -> Result<(), Failure> {
    let model = load(&plan.dir, plan.adapter.as_deref())?;
    let logits = model.logits(&plan.ids)?;
    logits.eval()?;
    let metadata = BTreeMap::from([("format".to_owned(), "mlx".to_owned())]);
    // Ctrl-C does not end the process while there is a temporary file that somebody has to remove.
    interrupt.softened(|| save_safetensors(&plan.output, [("logits", &logits)], &metadata))?;
    report::note(format_args!("{}: logits {:?}, {}", plan.output.display(), logits.shape(), logits.dtype()));
    if interrupt.came() { Err(Failure::Interrupted) } else { Ok(()) }
}
