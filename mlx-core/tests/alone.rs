// SPDX-License-Identifier: EUPL-1.2
//! Tests that measure the whole process run in one of their own.

use std::process::Command;

/// Runs `body` in a process in which nothing else runs: `test`, by its full name, is started again for that.
#[track_caller]
pub(crate) fn alone(test: &str, body: impl FnOnce()) {
    const ALONE: &str = "MLX_CORE_TEST_ALONE";
    if std::env::var(ALONE).is_ok_and(|name| name == test) {
        return body();
    }
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program).args([test, "--exact"]).env(ALONE, test).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{test}: {}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Bytes of this process that are in memory.
#[cfg(target_os = "linux")]
pub(crate) fn resident() -> usize {
    // The address sanitizer keeps freed memory, and tells leaks by itself.
    if std::env::var_os("ASAN_OPTIONS").is_some() {
        return 0;
    }
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Threads of this process.
#[cfg(target_os = "linux")]
pub(crate) fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// Checks that `work`, done `rounds` times, leaves less than `bytes` bytes behind in a process of its own.
///
/// Under the address sanitizer, which tells leaks by itself, fewer rounds do.
#[cfg(target_os = "linux")]
#[track_caller]
pub(crate) fn leaves_less_than(test: &str, bytes: usize, rounds: usize, mut work: impl FnMut()) {
    let rounds = if std::env::var_os("ASAN_OPTIONS").is_some() { rounds / 20 } else { rounds };
    alone(test, || {
        for _ in 0..rounds / 5 {
            work();
        }
        let before = resident();
        for _ in 0..rounds {
            work();
        }
        let grown = resident().saturating_sub(before);
        assert!(grown < bytes, "{grown} bytes more after {rounds} rounds");
    });
}
