// SPDX-License-Identifier: EUPL-1.2
//! The repository's rules, as a test.

use xtask::{tidy, workspace::Workspace};

#[test]
fn tidy_passes() {
    let workspace = Workspace::load().unwrap();
    let problems = tidy::problems(&workspace).unwrap();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
