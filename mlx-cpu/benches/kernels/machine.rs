// SPDX-License-Identifier: EUPL-1.2
//! What this is measured on.

use std::fs;
use std::path::Path;

use mlx_cpu::{Isa, pool};
use serde_json::{Value, json};

/// The machine, as far as it tells.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) model: String,
    pub(crate) cores: usize,
    pub(crate) threads: usize,
    pub(crate) isa: Isa,
    /// The second cache of one core.
    pub(crate) l2: usize,
    /// The cache that cores share.
    pub(crate) l3: usize,
}

impl Machine {
    pub(crate) fn here() -> Self {
        Self {
            model: model().unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            threads: pool::threads(),
            isa: Isa::current(),
            l2: cache(2).unwrap_or(1 << 20),
            l3: cache(3).unwrap_or(32 << 20),
        }
    }

    /// Bytes of weights to go round in, so that none is still in a cache when its turn comes again.
    pub(crate) fn round(&self) -> usize {
        (4 * self.l3).clamp(128 << 20, 1 << 30)
    }

    pub(crate) fn line(&self) -> String {
        let Self { model, cores, threads, isa, l2, l3 } = self;
        format!(
            "{model}: {cores} cores, {threads} threads, {isa}, L2 {} KiB a core, L3 {} MiB",
            l2 >> 10,
            l3 >> 20
        )
    }

    pub(crate) fn json(&self) -> Value {
        let Self { model, cores, threads, isa, l2, l3 } = self;
        json!({
            "model": model, "arch": std::env::consts::ARCH, "cores": cores, "threads": threads,
            "isa": isa.name(), "l2_bytes": l2, "l3_bytes": l3,
        })
    }
}

fn model() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The size of the largest cache of a level, where the system tells.
fn cache(level: u32) -> Option<usize> {
    let sizes = (0..8).filter_map(|index| {
        let folder = format!("/sys/devices/system/cpu/cpu0/cache/index{index}");
        let read = |name: &str| fs::read_to_string(Path::new(&folder).join(name)).ok();
        if read("level")?.trim().parse() != Ok(level) {
            return None;
        }
        read("size")?.trim().strip_suffix('K')?.parse::<usize>().ok()
    });
    Some(sizes.max()? << 10)
}
