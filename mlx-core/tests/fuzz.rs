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
