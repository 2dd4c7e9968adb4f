// SPDX-License-Identifier: EUPL-1.2
//! `mlx fuse`: a checkpoint with an adapter written into its weights.

use mlx_models::SaveOptions;
use serde_json::json;

use crate::cmd::load;
use crate::failure::Failure;
use crate::plan::train::Fuse;
use crate::report;

/// Runs the command.
pub(crate) fn run(plan: Fuse) -> Result<(), Failure> {
    let Fuse { dir, adapter, output, dequantize, overwrite, json } = plan;
    let mut model = load(&dir, Some(&adapter))?;
    let options = SaveOptions { overwrite, ..SaveOptions::default() };
    model.check_save(&output, &options)?;
    model.fuse(dequantize)?;
    let saved = model.save_into(&output, &options)?;
    if json {
        return report::json(&json!({ "output": saved.dir, "files": saved.files, "bytes": saved.nbytes }));
    }
    report::note(format_args!("wrote {} ({})", saved.dir.display(), report::bytes(saved.nbytes)));
    Ok(())
}
