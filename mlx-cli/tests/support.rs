// SPDX-License-Identifier: EUPL-1.2
//! Running the program, and checkpoints to run it on.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The program, with no variable set that could help it to find anything.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mlx"));
    command.args(args).env_remove("LD_LIBRARY_PATH").env_remove("MLX_PREFIX");
    command
}

/// Runs the program with nothing on standard input.
pub(crate) fn mlx(args: &[&str]) -> Outcome {
    mlx_reading(args, b"")
}

/// Runs the program with `input` on standard input.
pub(crate) fn mlx_reading(args: &[&str], input: &[u8]) -> Outcome {
    let mut child = command(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // A program that needs no input may be gone before it is written.
    let _ = child.stdin.take().expect("it has an input").write_all(input);
    let output = child.wait_with_output().expect("the program ends");
    Outcome {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("its output is text"),
        err: String::from_utf8(output.stderr).expect("its messages are text"),
    }
}

impl Outcome {
    /// Checks that it succeeded, and returns what it printed.
    #[track_caller]
    pub(crate) fn text(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// Checks that it succeeded, and returns the JSON that it printed.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let text = self.text();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Checks that it failed with this exit code, with nothing on standard output and one line on standard error that
    /// holds each of `parts`.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.out, "", "{self:?}");
        assert!(self.err.starts_with("error: ") && self.err.lines().count() == 1, "{self:?}");
        assert!(!self.err.contains("panicked") && !self.err.contains("stack backtrace"), "{self:?}");
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in {self:?}");
        }
    }
}

/// A checkpoint that the tests of the models use as well.
pub(crate) fn golden(name: &str) -> String {
    format!("{}/../mlx-models/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The chat checkpoint of the Qwen 3 family.
pub(crate) fn qwen() -> String {
    golden("tiny-chat-qwen3")
}

/// The chat checkpoint of the Gemma 3 family.
pub(crate) fn gemma() -> String {
    golden("tiny-chat-gemma3")
}

/// A copy of a checkpoint, to be changed.
pub(crate) struct Copy {
    dir: TempDir,
}

impl Copy {
    pub(crate) fn of(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(golden(name)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
        }
        Self { dir }
    }

    pub(crate) fn path(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn remove(self, name: &str) -> Self {
        fs::remove_file(self.file(name)).unwrap();
        self
    }

    pub(crate) fn write(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.file(name), content).unwrap();
        self
    }

    /// Changes a JSON file.
    pub(crate) fn json(self, name: &str, change: impl FnOnce(&mut Value)) -> Self {
        let path = self.file(name);
        let mut value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut value);
        self.write(name, serde_json::to_vec(&value).unwrap())
    }

    /// Changes the header of a safetensors file; the bytes behind it stay.
    pub(crate) fn header(self, name: &str, change: impl FnOnce(&mut Value)) -> Self {
        let (mut header, data) = safetensors(&self.file(name));
        change(&mut header);
        let json = serde_json::to_vec(&header).unwrap();
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend(json);
        bytes.extend(data);
        self.write(name, bytes)
    }
}

/// The header and the data of a safetensors file.
pub(crate) fn safetensors(path: &Path) -> (Value, Vec<u8>) {
    let bytes = fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    (serde_json::from_slice(&bytes[8..8 + length]).unwrap(), bytes[8 + length..].to_vec())
}

/// A float32 tensor of a safetensors file, with its shape.
pub(crate) fn floats(path: &Path, name: &str) -> (Vec<usize>, Vec<f32>) {
    let (header, data) = safetensors(path);
    let info = &header[name];
    assert_eq!(info["dtype"], "F32", "{header}");
    let number = |value: &Value| value.as_u64().unwrap() as usize;
    let offsets = &info["data_offsets"];
    let bytes = &data[number(&offsets[0])..number(&offsets[1])];
    let values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    (info["shape"].as_array().unwrap().iter().map(number).collect(), values)
}

/// An int32 tensor of a safetensors file.
pub(crate) fn integers(path: &Path, name: &str) -> Vec<i32> {
    let (header, data) = safetensors(path);
    assert_eq!(header[name]["dtype"], "I32", "{header}");
    let number = |value: &Value| value.as_u64().unwrap() as usize;
    let offsets = &header[name]["data_offsets"];
    let bytes = &data[number(&offsets[0])..number(&offsets[1])];
    bytes.chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// Numbers with commas between them, as the program takes ids.
pub(crate) fn listed<T: ToString>(numbers: &[T]) -> String {
    numbers.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

/// The keys of an object, in alphabetical order.
pub(crate) fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}
