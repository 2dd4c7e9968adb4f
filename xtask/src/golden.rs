// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask golden`: computes the reference values of the tests anew, with programs that never ran our code.
//!
//! A generator is a file `<crate>/tests/golden/generate_*.py`. Its docstring has a line `Needs: name==version ..`, which
//! is installed into a virtual environment under the target directory; it is called with the folder that it lies in.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use mlx_build::Environment;

use crate::workspace::{Workspace, run};

/// One generator, read.
#[derive(Debug, PartialEq, Eq)]
struct Generator {
    path: PathBuf,
    /// pip requirements, each with a version.
    needs: Vec<String>,
    /// Names of generators whose output it reads.
    after: Vec<String>,
}

/// Runs every generator of the workspace.
///
/// # Errors
/// When there is none, when one names no requirements, or when one fails.
pub fn run_all(workspace: &Workspace) -> Result<()> {
    let generators = ordered(find(&workspace.root)?)?;
    ensure!(!generators.is_empty(), "no crate has a tests/golden/generate_*.py");
    for generator in &generators {
        let python = environment(workspace, &generator.needs)?;
        let folder = generator.path.parent().context("a generator lies in no folder")?;
        run(Command::new(python).arg(&generator.path).arg(folder))?;
    }
    eprintln!("{} generators ran; `git status` shows what they changed", generators.len());
    Ok(())
}

fn find(root: &Path) -> Result<Vec<Generator>> {
    let mut found = Vec::new();
    for member in fs::read_dir(root)? {
        let folder = member?.path().join("tests/golden");
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if file_name(&path).starts_with("generate_") && path.extension().is_some_and(|e| e == "py") {
                let text =
                    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
                found.push(read(path, &text)?);
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn read(path: PathBuf, text: &str) -> Result<Generator> {
    let needs: Vec<String> = text
        .lines()
        .find_map(|line| line.strip_prefix("Needs: "))
        .with_context(|| format!("{} has no line `Needs: name==version ..`", path.display()))?
        .split([' ', ';', ','])
        .take_while(|word| word.contains("=="))
        .map(str::to_owned)
        .collect();
    ensure!(!needs.is_empty(), "{} needs nothing with a version", path.display());
    let own = file_name(&path);
    let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'));
    let after: BTreeSet<String> = words
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| word.starts_with("generate_") && word.ends_with(".py") && *word != own)
        .map(str::to_owned)
        .collect();
    Ok(Generator { needs, after: after.into_iter().collect(), path })
}

/// A generator that names another in its text reads what that one wrote, and so comes later.
fn ordered(mut waiting: Vec<Generator>) -> Result<Vec<Generator>> {
    let mut done: Vec<Generator> = Vec::new();
    while !waiting.is_empty() {
        let free = waiting.iter().position(|generator| {
            !waiting.iter().any(|other| {
                other.path != generator.path && generator.after.contains(&file_name(&other.path))
            })
        });
        let next = free.context("the generators wait for each other: two of them name one another")?;
        done.push(waiting.remove(next));
    }
    Ok(done)
}

/// The interpreter of a virtual environment with exactly these packages, made where it is not there yet.
fn environment(workspace: &Workspace, needs: &[String]) -> Result<PathBuf> {
    let name: String = needs
        .join("+")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || ".+_-".contains(c) { c } else { '_' })
        .collect();
    let folder = workspace.scratch("golden").join(name);
    let python = folder.join("bin/python");
    let complete = folder.join("complete");
    if complete.is_file() {
        return Ok(python);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let base = mlx_build::python(&Environment::from_process())?;
    run(Command::new(base.path).args(["-m", "venv"]).arg(&folder))?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(needs))?;
    fs::write(&complete, needs.join("\n"))?;
    Ok(python)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generator_says_what_it_needs_and_what_comes_before() {
        let text = "\"\"\"Values.\nNeeds: mlx==0.32.2 mlx-lm==0.32.2; run it after generate_b.py on the same folder.\n\"\"\"";
        let first = read("g/generate_a.py".into(), text).unwrap();
        assert_eq!(first.needs, ["mlx==0.32.2", "mlx-lm==0.32.2"]);
        let second = read("g/generate_b.py".into(), "Needs: torch==2.9.1\nUsage: generate_b.py OUT").unwrap();
        let order = ordered(vec![first, second]).unwrap();
        assert_eq!(
            order.iter().map(|g| file_name(&g.path)).collect::<Vec<_>>(),
            ["generate_b.py", "generate_a.py"]
        );
    }

    #[test]
    fn a_generator_without_versions_or_in_a_circle_is_refused() {
        assert!(read("generate_a.py".into(), "Needs: torch").is_err());
        assert!(read("generate_a.py".into(), "print()").is_err());
        let circle = ["a", "b"].map(|name| Generator {
            path: format!("generate_{name}.py").into(),
            needs: vec!["x==1".to_owned()],
            after: vec!["generate_a.py".to_owned(), "generate_b.py".to_owned()],
        });
        assert!(ordered(circle.into()).is_err());
    }
}
