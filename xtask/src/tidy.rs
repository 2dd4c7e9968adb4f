// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask tidy`: the repository's rules, those that the compiler does not know. It also runs as a test.
//!
//! Each rule is a function from what it looks at to the list of what is wrong, so that a test can show it failing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace::Workspace;

/// Crates that may hold unsafe code.
const UNSAFE_CRATES: [&str; 3] = ["mlx-sys", "mlx-core", "mlx-cpu"];

/// Written by a program, so neither its length nor its licence line is anybody's choice.
const GENERATED: [&str; 1] = ["mlx-sys/src/bindings.rs"];

/// The longest file that needs no reason.
const LINES: usize = 800;

/// What a longer file says in its first lines, with the reason after it.
const LONG_FILE_REASON: &str = "Over 800 lines: ";

/// A file of the repository: its path with slashes from the root, and its text (`None` where it is not text).
#[derive(Debug)]
pub struct File {
    /// Relative to the root.
    pub path: String,
    /// UTF-8, or nothing.
    pub text: Option<String>,
}

/// Prints what is wrong.
///
/// # Errors
/// When anything is.
pub fn run(workspace: &Workspace) -> Result<()> {
    let wrong = problems(workspace)?;
    if wrong.is_empty() {
        eprintln!("tidy: nothing to say");
        return Ok(());
    }
    bail!("tidy found {}:\n{}", wrong.len(), wrong.join("\n"))
}

/// Everything that is wrong in the workspace, one line each.
///
/// # Errors
/// When files or `cargo metadata` cannot be read.
pub fn problems(workspace: &Workspace) -> Result<Vec<String>> {
    let mut files = Vec::new();
    collect(&workspace.root, &workspace.root, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let crates = crates(&workspace.metadata)?;

    let mut wrong = Vec::new();
    match find(&files, "ARCHITECTURE.md") {
        Some(text) => {
            wrong.extend(check_floors(text, &crates));
            wrong.extend(check_invariants(text, &files));
        }
        None => wrong.push("ARCHITECTURE.md is not there".to_owned()),
    }
    if !find(&files, "CHANGELOG.md").is_some_and(|text| text.contains("\n## Unreleased\n")) {
        wrong.push("CHANGELOG.md has no section `## Unreleased`".to_owned());
    }
    for krate in &crates {
        wrong.extend(check_manifest(krate, &files));
        wrong.extend(check_unsafe(krate, &files));
    }
    let home = std::env::var("HOME").ok().filter(|home| home.len() > 3);
    let machine: Vec<String> =
        [Some(workspace.root.display().to_string()), home].into_iter().flatten().collect();
    for file in &files {
        wrong.extend(check_licence_line(file));
        wrong.extend(check_length(file));
        wrong.extend(check_paths(file, &machine));
    }
    Ok(wrong)
}

fn find<'a>(files: &'a [File], path: &str) -> Option<&'a str> {
    files.iter().find(|file| file.path == path).and_then(|file| file.text.as_deref())
}

/// Every file below `folder` that is not built or fetched.
fn collect(root: &Path, folder: &Path, files: &mut Vec<File>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["target", ".git", "__pycache__", ".venv"].contains(&name.as_str()) {
                collect(root, &path, files)?;
            }
        } else {
            let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let relative = path.strip_prefix(root).unwrap_or(&path);
            let path =
                relative.components().map(|c| c.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
            files.push(File { path, text: String::from_utf8(bytes).ok() });
        }
    }
    Ok(())
}

/// A member of the workspace as `cargo metadata` describes it.
#[derive(Clone, Debug, Default)]
struct Crate {
    name: String,
    /// Relative to the root, as in [`File::path`].
    folder: String,
    /// Root files of its libraries, programs and build script.
    roots: Vec<String>,
    /// Members that it depends on, for tests too.
    dependencies: BTreeSet<String>,
    /// Those that only its tests need.
    dev_dependencies: BTreeSet<String>,
}

fn crates(metadata: &Value) -> Result<Vec<Crate>> {
    let root =
        metadata.get("workspace_root").and_then(Value::as_str).context("cargo metadata names no root")?;
    let relative = |path: &str| -> String {
        let path = Path::new(path);
        path.strip_prefix(root).unwrap_or(path).display().to_string()
    };
    let text =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let packages =
        metadata.get("packages").and_then(Value::as_array).context("cargo metadata names no packages")?;
    let members: BTreeSet<String> = packages.iter().map(|package| text(package, "name")).collect();
    let mut crates = Vec::new();
    for package in packages {
        let mut krate = Crate { name: text(package, "name"), ..Crate::default() };
        let manifest = PathBuf::from(relative(&text(package, "manifest_path")));
        krate.folder = manifest.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
        for target in package.get("targets").and_then(Value::as_array).into_iter().flatten() {
            let kinds = target.get("kind").and_then(Value::as_array).into_iter().flatten();
            if kinds.filter_map(Value::as_str).any(|kind| ["lib", "bin", "proc-macro"].contains(&kind)) {
                krate.roots.push(relative(&text(target, "src_path")));
            }
        }
        for dependency in package.get("dependencies").and_then(Value::as_array).into_iter().flatten() {
            let name = text(dependency, "name");
            // A crate may name itself, to be tested with all of its features.
            if members.contains(&name) && name != krate.name {
                let list = match text(dependency, "kind").as_str() {
                    "dev" => &mut krate.dev_dependencies,
                    _ => &mut krate.dependencies,
                };
                list.insert(name);
            }
        }
        crates.push(krate);
    }
    Ok(crates)
}

/// A row of ARCHITECTURE.md's table `| floor | crate | depends on |`.
struct Row {
    floor: u32,
    crates: BTreeSet<String>,
    /// What they depend on, taken together.
    dependencies: BTreeSet<String>,
}

fn rows(architecture: &str) -> Vec<Row> {
    let names =
        |cell: &str| -> BTreeSet<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let table = architecture.lines().skip_while(|line| !line.starts_with("| floor |")).skip(2);
    table
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [floor, crates, dependencies] = cells[..] else { return None };
            // A dash is the roof: what stands there is on no floor, and nothing may depend on it.
            let floor = floor.parse().unwrap_or(u32::MAX);
            Some(Row { floor, crates: names(crates), dependencies: names(dependencies) })
        })
        .collect()
}

/// A crate depends on lower floors, and on what the table says.
fn check_floors(architecture: &str, crates: &[Crate]) -> Vec<String> {
    let rows = rows(architecture);
    let row_of = |name: &str| rows.iter().find(|row| row.crates.contains(name));
    let mut wrong = Vec::new();
    for krate in crates {
        let Some(row) = row_of(&krate.name) else {
            wrong.push(format!("ARCHITECTURE.md: the table of floors does not name {}", krate.name));
            continue;
        };
        for dependency in krate.dependencies.union(&krate.dev_dependencies) {
            if row_of(dependency).is_none_or(|below| below.floor >= row.floor) {
                wrong.push(format!("{} depends on {dependency}, which is not on a lower floor", krate.name));
            }
        }
        for dependency in krate.dependencies.difference(&row.dependencies) {
            wrong.push(format!("{} depends on {dependency}: ARCHITECTURE.md does not say so", krate.name));
        }
    }
    for row in &rows {
        for name in row.crates.iter().filter(|name| !crates.iter().any(|krate| krate.name == **name)) {
            wrong.push(format!("ARCHITECTURE.md: {name} is no member of the workspace"));
        }
        for dependency in &row.dependencies {
            if !crates.iter().any(|k| row.crates.contains(&k.name) && k.dependencies.contains(dependency)) {
                let names = row.crates.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                wrong.push(format!("ARCHITECTURE.md: {names} no longer depends on {dependency}"));
            }
        }
    }
    wrong
}

/// Each line `- **name**: sentence. Test: `path::to::test`.` names a test that exists.
fn check_invariants(architecture: &str, files: &[File]) -> Vec<String> {
    let mut wrong = Vec::new();
    let section = architecture.lines().skip_while(|line| *line != "## Invariants").skip(1);
    let lines: Vec<&str> =
        section.take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("- ")).collect();
    if lines.is_empty() {
        wrong.push("ARCHITECTURE.md has no section `## Invariants` with a list".to_owned());
    }
    for line in lines {
        let name = line.trim_start_matches("- ").split("**").nth(1).unwrap_or(line);
        let tests: Vec<&str> =
            line.split_once("Test").map_or("", |(_, rest)| rest).split('`').skip(1).step_by(2).collect();
        if tests.is_empty() {
            wrong.push(format!("ARCHITECTURE.md: the invariant `{name}` names no test"));
        }
        for test in tests {
            if !test_exists(test, files) {
                wrong.push(format!(
                    "ARCHITECTURE.md: the invariant `{name}` names the test `{test}`, which is not there"
                ));
            }
        }
    }
    wrong
}

/// Whether a function of that name, marked as a test, stands in the crate that the path begins with.
fn test_exists(path: &str, files: &[File]) -> bool {
    let (Some((krate, _)), Some((_, function))) = (path.split_once("::"), path.rsplit_once("::")) else {
        return false;
    };
    let folder = format!("{}/", krate.replace('_', "-"));
    let signature = format!("fn {function}(");
    files.iter().filter(|file| file.path.starts_with(&folder) && file.path.ends_with(".rs")).any(|file| {
        let lines: Vec<&str> = file.text.as_deref().unwrap_or_default().lines().map(str::trim).collect();
        lines.iter().enumerate().any(|(index, line)| {
            let attributes = lines.get(..index).unwrap_or_default().iter().rev();
            let mut attributes =
                attributes.take_while(|line| line.starts_with("#[") || line.starts_with("//"));
            line.starts_with(&signature) && attributes.any(|line| *line == "#[test]")
        })
    })
}

/// Versions stand in the root alone, and every crate takes the workspace's lints and licence.
fn check_manifest(krate: &Crate, files: &[File]) -> Vec<String> {
    let path = format!("{}/Cargo.toml", krate.folder);
    let Some(text) = find(files, &path) else { return vec![format!("{path} cannot be read")] };
    let mut wrong = Vec::new();
    let mut section = "";
    let mut inherits_lints = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
            if section.contains("dependencies.") {
                wrong.push(format!("{path}: write {line} as one line with `workspace = true`"));
            }
        } else if section.ends_with("dependencies") && line.contains('=') && !line.starts_with('#') {
            if !line.contains("workspace = true") {
                wrong.push(format!("{path}: `{line}` does not take its version from the root"));
            }
        } else if section == "lints" && line == "workspace = true" {
            inherits_lints = true;
        }
    }
    if !inherits_lints {
        wrong.push(format!("{path}: no `[lints]` with `workspace = true`"));
    }
    if !text.contains("license.workspace = true") {
        wrong.push(format!("{path}: no `license.workspace = true`"));
    }
    wrong
}

/// Every crate but those named forbids unsafe code at the top.
fn check_unsafe(krate: &Crate, files: &[File]) -> Vec<String> {
    if UNSAFE_CRATES.contains(&krate.name.as_str()) {
        return Vec::new();
    }
    let forbids = |root: &&String| {
        find(files, root).is_some_and(|text| text.lines().any(|line| line == "#![forbid(unsafe_code)]"))
    };
    krate
        .roots
        .iter()
        .filter(|root| !forbids(root))
        .map(|root| format!("{root}: no `#![forbid(unsafe_code)]`"))
        .collect()
}

/// How a comment begins in a file that must carry the licence's line, or `None` for the others.
fn comment(path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "rs" | "h" | "c" | "cpp" | "hpp" => Some("//"),
        "toml" | "py" | "sh" | "cmake" | "yml" | "yaml" => Some("#"),
        _ if name == "CMakeLists.txt" || path.starts_with(".ci/") || path == "vendor/mlx-c/wheels.txt" => {
            Some("#")
        }
        _ if path.starts_with("vendor/mlx-c/format/") => Some("//"),
        _ => None,
    }
}

/// The licence's line comes first, or second after `#!`.
fn check_licence_line(file: &File) -> Option<String> {
    let expected = format!("{} SPDX-License-Identifier: EUPL-1.2", comment(&file.path)?);
    let mut lines =
        file.text.as_deref().unwrap_or_default().lines().skip_while(|line| line.starts_with("#!/"));
    (lines.next() != Some(&expected)).then(|| format!("{}: does not begin with `{expected}`", file.path))
}

fn check_length(file: &File) -> Option<String> {
    let is_source =
        [".rs", ".py", ".cpp", ".h", ".sh", ".md"].iter().any(|ending| file.path.ends_with(ending));
    let text = file.text.as_deref().filter(|_| is_source && !GENERATED.contains(&file.path.as_str()))?;
    let count = text.lines().count();
    let has_reason = text.lines().take(20).any(|line| line.contains(LONG_FILE_REASON));
    (count > LINES && !has_reason).then(|| {
        format!(
            "{}: {count} lines; split it, or say why not in its first lines after `{LONG_FILE_REASON}`",
            file.path
        )
    })
}

/// No file names a folder of the machine that somebody happened to work on.
fn check_paths(file: &File, machine: &[String]) -> Option<String> {
    let text = file.text.as_deref()?;
    // Put together, so that this file does not find itself.
    let usual = [concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/ro", "ot/"), concat!("/wo", "rk/")];
    for (number, line) in text.lines().enumerate() {
        let culprit = usual.iter().copied().chain(machine.iter().map(String::as_str)).find(|path| {
            line.match_indices(path).any(|(at, _)| {
                let before = line.get(..at).and_then(|text| text.chars().next_back());
                // Inside a longer path, as in `target/mlx/work/`, it is another folder.
                !before.is_some_and(|c| c.is_alphanumeric() || ".-_}$*<>".contains(c))
            })
        });
        if let Some(culprit) = culprit {
            return Some(format!("{}:{}: names `{culprit}`, a path of one machine", file.path, number + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: Some(text.to_owned()) }
    }

    fn krate(name: &str, dependencies: &[&str]) -> Crate {
        Crate {
            name: name.to_owned(),
            folder: name.to_owned(),
            roots: vec![format!("{name}/src/lib.rs")],
            dependencies: dependencies.iter().map(|&d| d.to_owned()).collect(),
            dev_dependencies: BTreeSet::new(),
        }
    }

    const TABLE: &str = "\
| floor | crate | depends on |
|---|---|---|
| 0 | `low`, `base` | |
| 1 | `mid` | `low` (when building) |
| – | `tool` | `low` |
";

    #[test]
    fn the_floors_of_the_table_are_kept() {
        let good = [krate("low", &[]), krate("base", &[]), krate("mid", &["low"]), krate("tool", &["low"])];
        assert_eq!(check_floors(TABLE, &good), Vec::<String>::new());
    }

    #[test]
    fn wrong_arrows_are_found() {
        let rest = [krate("base", &[]), krate("tool", &["low"])];
        let cases: [(&[Crate], &str); 5] = [
            (
                &[krate("low", &["mid"]), krate("mid", &["low"])],
                "low depends on mid, which is not on a lower floor",
            ),
            (&[krate("low", &[]), krate("mid", &["low", "base"])], "mid depends on base: ARCHITECTURE.md"),
            (&[krate("low", &[]), krate("mid", &["low", "tool"])], "mid depends on tool, which is not"),
            (&[krate("low", &[]), krate("mid", &[])], "mid no longer depends on low"),
            (&[krate("low", &[]), krate("mid", &["low"]), krate("new", &[])], "does not name new"),
        ];
        for (crates, expected) in cases {
            let all: Vec<Crate> = crates.iter().chain(&rest).cloned().collect();
            let wrong = check_floors(TABLE, &all);
            assert!(wrong.iter().any(|line| line.contains(expected)), "{expected}: {wrong:?}");
        }
    }

    #[test]
    fn an_invariant_needs_a_test_that_exists() {
        let files = [
            file("mlx-core/src/ffi.rs", "    #[test]\n    fn is_kept() {}\n    fn is_no_test() {}\n"),
            file("mlx-nn/src/lib.rs", "#[test]\nfn is_elsewhere() {}\n"),
        ];
        let check =
            |line: &str| check_invariants(&format!("## Invariants\n\n{line}\n\n## More\n"), &files).len();
        assert_eq!(check("- **a**: holds. Test: `mlx_core::ffi::tests::is_kept`."), 0);
        assert_eq!(check("- **a**: holds. Test: `mlx_core::ffi::tests::is_no_test`."), 1);
        assert_eq!(check("- **a**: holds. Test: `mlx_core::ffi::tests::is_elsewhere`."), 1);
        assert_eq!(check("- **a**: holds."), 1);
        assert_eq!(check("nothing"), 1);
        assert_eq!(check("- **a**: holds. Tests: `mlx_core::is_kept`, `mlx_nn::is_gone`."), 1);
    }

    #[test]
    fn manifests_take_versions_lints_and_licence_from_the_root() {
        let good =
            "license.workspace = true\n[lints]\nworkspace = true\n[dependencies]\nserde.workspace = true\n";
        let check = |text: &str| check_manifest(&krate("a", &[]), &[file("a/Cargo.toml", text)]).len();
        assert_eq!(check(good), 0);
        assert_eq!(check(&format!("{good}half = \"2\"\n")), 1);
        assert_eq!(check(&format!("{good}half = {{ version = \"2\" }}\n")), 1);
        assert_eq!(check(&format!("{good}[dev-dependencies.half]\nversion = \"2\"\n")), 1);
        assert_eq!(check("license.workspace = true\n"), 1);
        assert_eq!(check("[lints]\nworkspace = true\n"), 1);
    }

    #[test]
    fn unsafe_code_is_forbidden_outside_the_crates_that_need_it() {
        let files =
            [file("a/src/lib.rs", "//! A.\n#![forbid(unsafe_code)]\n"), file("b/src/lib.rs", "//! B.\n")];
        assert!(check_unsafe(&krate("a", &[]), &files).is_empty());
        assert_eq!(check_unsafe(&krate("b", &[]), &files), ["b/src/lib.rs: no `#![forbid(unsafe_code)]`"]);
        assert!(check_unsafe(&krate("mlx-core", &[]), &files).is_empty());
    }

    #[test]
    fn licence_lines_are_asked_for_where_comments_exist() {
        let spdx = "SPDX-License-Identifier: EUPL-1.2";
        for (path, text, good) in [
            ("a/src/lib.rs", format!("// {spdx}\n"), true),
            ("a/src/lib.rs", format!("//! A.\n// {spdx}\n"), false),
            ("a/Cargo.toml", format!("# {spdx}\n"), true),
            ("a/Cargo.toml", "[package]\n".to_owned(), false),
            (".ci/run", format!("#!/usr/bin/env bash\n# {spdx}\n"), true),
            (".ci/run", "#!/usr/bin/env bash\n".to_owned(), false),
            ("vendor/mlx-c/CMakeLists.txt", "project(x)\n".to_owned(), false),
            ("data.json", "{}".to_owned(), true),
        ] {
            assert_eq!(check_licence_line(&file(path, &text)).is_none(), good, "{path}: {text}");
        }
    }

    #[test]
    fn long_files_need_a_reason() {
        let long = "line\n".repeat(LINES + 1);
        assert!(check_length(&file("a.rs", &long)).is_some());
        assert!(check_length(&file("a.rs", &"line\n".repeat(LINES))).is_none());
        assert!(check_length(&file("a.rs", &format!("// {LONG_FILE_REASON}one table.\n{long}"))).is_none());
        assert!(check_length(&file("a.json", &long)).is_none());
        assert!(check_length(&file(GENERATED[0], &long)).is_none());
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        let machine = ["/srv/checkout".to_owned()];
        let check = |text: &str| check_paths(&file("a.md", text), &machine).is_some();
        assert!(check(concat!("see /ho", "me/ann/x")));
        assert!(check(concat!("\"/Us", "ers/ann/x\"")));
        assert!(check("built in /srv/checkout/target"));
        assert!(!check("kept in target/mlx/work/x and $HOME/work/x"));
        assert!(!check("nothing to see"));
    }
}
