// SPDX-License-Identifier: EUPL-1.2
//! `mlx train`: adapters or all weights of a checkpoint, from lines of JSON.

use std::fs;
use std::ops::ControlFlow;

use mlx_core::distributed::{Backend, Group};
use mlx_core::{Dtype, memory};
use mlx_models::create;
use mlx_train::checkpoint::Checkpoints;
use mlx_train::log::{Line, Log, read_log};
use mlx_train::{End, Trainer, load_data, loss_curve};
use serde_json::json;

use crate::cmd::load;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::plan::train::Train;
use crate::report::{self, StepBar};

/// Runs the command.
pub(crate) fn run(plan: Train, interrupt: &Interrupt) -> Result<(), Failure> {
    let Train { dir, output, config, adapter, resume, json } = plan;
    let begun = !Checkpoints::open(&output)?.steps()?.is_empty();
    if begun && !resume {
        return Err(Failure::new(format_args!(
            "{}: there is a run already: --resume goes on with it, another --output begins a new one",
            output.display()
        )));
    }
    let group = Group::init_or_alone(Backend::Ring)?;
    let model = match config.from_scratch {
        true => create(&dir, config.seed, config.dtype()?.unwrap_or(Dtype::Float32))?,
        false => load(&dir, adapter.as_deref())?,
    };
    let data = load_data(&config, &model, (group.rank(), group.size()))?;
    let method = config.method;
    let every = config.log_every;
    let mut trainer = Trainer::new(model, config, data.train, data.valid)?.with_group(group);
    let resumed = if resume { trainer.resume(&output)? } else { None };
    let first = trainer.is_first();
    if first {
        report::note(data.report);
        let (trained, all) = trainer.counts();
        report::note(format_args!(
            "training {} of {} parameters ({method:?}) in {} steps{}",
            report::count(trained),
            report::count(all),
            trainer.steps(),
            resumed.map(|step| format!(", from step {step} on")).unwrap_or_default()
        ));
    }
    let mut log = match first {
        true => Some(Log::open(&output, trainer.progress().step, every)?),
        false => None,
    };
    let mut bar = StepBar::new(trainer.steps(), trainer.progress().step, first);
    let mut failure = None;
    let outcome = interrupt.softened(|| {
        trainer.run(&output, &mut |event| {
            let told = log.as_mut().map_or(Ok(None), |log| log.take(event));
            match told {
                Ok(line) => bar.update(event, line.as_ref()),
                Err(error) => failure = Some(error),
            }
            if interrupt.came() || failure.is_some() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
    })?;
    bar.finish();
    if let Some(failure) = failure {
        return Err(failure.into());
    }
    let interrupted = outcome.end == End::Interrupted;
    let mut exported = None;
    if first {
        let lines = read_log(&output)?;
        if let Some(svg) = loss_curve(&lines) {
            let path = output.join("loss.svg");
            fs::write(&path, svg)
                .map_err(|error| Failure::new(format_args!("{}: {error}", path.display())))?;
        }
        if !interrupted {
            exported = Some(trainer.export(&output)?);
        }
        let last = lines.iter().rev().find_map(|line| match line {
            Line::Train { loss, .. } => Some(*loss),
            Line::Valid { .. } => None,
        });
        if json {
            report::json(&json!({
                "end": match outcome.end {
                    End::Finished => "finished",
                    End::Stopped => "stopped",
                    _ => "interrupted",
                },
                "step": outcome.progress.step,
                "tokens": outcome.progress.tokens,
                "seconds": outcome.progress.seconds,
                "loss": last,
                "best_valid_loss": outcome.progress.best,
                "best_step": outcome.progress.best_step,
                "peak_memory_bytes": memory::peak_memory()?,
                "output": exported,
            }))?;
        } else if let Some(path) = &exported {
            report::note(format_args!("wrote {}", path.display()));
        }
    }
    if interrupted {
        report::note(format_args!(
            "stopped after step {}; --resume goes on from there",
            outcome.progress.step
        ));
        return Err(Failure::Interrupted);
    }
    Ok(())
}
