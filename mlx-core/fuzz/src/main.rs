// SPDX-License-Identifier: EUPL-1.2
//! All targets in one program; `MLX_FUZZ_TARGET` names the one that runs. `cargo xtask fuzz` sets it.
#![no_main]

mod targets;

use std::sync::OnceLock;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static TARGET: OnceLock<targets::Target> = OnceLock::new();
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("MLX_FUZZ_TARGET").expect("MLX_FUZZ_TARGET names a target");
        targets::TARGETS.iter().find(|target| target.0 == name).expect("there is such a target").1
    });
    target(data);
});
