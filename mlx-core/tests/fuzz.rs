// SPDX-License-Identifier: EUPL-1.2
//! The inputs that fuzzing keeps, each one once: `cargo xtask fuzz` finds new ones.

#[path = "../fuzz/src/targets/mod.rs"]
mod targets;

#[test]
fn kept_inputs_of_the_fuzzers_give_errors_or_values() {
    for (name, target) in targets::TARGETS {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let mut paths: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        assert!(paths.len() >= 5, "{name}: {} inputs", paths.len());
        paths.iter().for_each(|path| target(&std::fs::read(path).unwrap()));
    }
}

/// Inputs at random find less than the fuzzers do, but they run everywhere. `MLX_FUZZ_INPUTS` is how many, and
/// `MLX_FUZZ_SEED` where they begin.
#[test]
fn inputs_at_random_give_errors_or_values() {
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |value| value.parse().unwrap());
    let first = number("MLX_FUZZ_SEED", 1);
    for seed in first..first + number("MLX_FUZZ_INPUTS", 1_000) {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        let input: Vec<u8> = (0..usize::from(next()) / 2).map(|_| next()).collect();
        for (name, target) in &targets::TARGETS[2..] {
            let done = std::panic::catch_unwind(|| target(&input));
            assert!(done.is_ok(), "{name} with seed {seed}: {input:?}");
        }
    }
}
