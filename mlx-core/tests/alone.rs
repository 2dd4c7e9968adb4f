// SPDX-License-Identifier: EUPL-1.2
//! Tests that measure the whole process run in one of their own.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long such a process may take before it is taken for one that hangs.
const LIMIT: Duration = Duration::from_secs(600);

/// Runs `body` in a process in which nothing else runs: `test`, by its full name, is started again for that.
#[track_caller]
pub(crate) fn alone(test: &str, body: impl FnOnce()) {
    const ALONE: &str = "MLX_CORE_TEST_ALONE";
    if std::env::var(ALONE).is_ok_and(|name| name == test) {
        return body();
    }
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new(program)
        .args([test, "--exact"])
        .env(ALONE, test)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = [read(child.stdout.take().unwrap()), read(child.stderr.take().unwrap())];
    let begin = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if begin.elapsed() > LIMIT => {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("{test} does not come to its end");
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let [text, errors] = said.map(|said| said.join().unwrap());
    assert!(status.success() && text.contains("1 passed"), "{test}: {status}\n{text}\n{errors}");
}

/// All that comes out of a pipe, read beside what else is done: a full one would hold its process up.
fn read(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
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
