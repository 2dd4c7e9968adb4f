// SPDX-License-Identifier: EUPL-1.2
//! Files and directories of records.

use std::fs;
use std::path::Path;

use mlx_train::Error;
use mlx_train::data::{Keys, ReadOptions, Record, read, read_file};

const LINE: &str = "{\"text\": \"a\"}\n";

fn fails(path: &Path, expected: &str) -> Error {
    let error = read(path, &ReadOptions::default()).unwrap_err();
    let message = error.to_string();
    assert_eq!(message.strip_prefix(&path.display().to_string()), Some(expected), "{message}");
    error
}

#[test]
fn a_directory_has_train_and_perhaps_the_others() {
    let dir = tempfile::tempdir().unwrap();
    fails(dir.path(), ": holds no train.jsonl");
    fs::write(dir.path().join("train.jsonl"), LINE.repeat(3)).unwrap();
    let splits = read(dir.path(), &ReadOptions::default()).unwrap();
    assert_eq!((splits.train.len(), splits.valid, splits.test), (3, None, None));
    fs::write(dir.path().join("valid.jsonl"), LINE.repeat(2)).unwrap();
    fs::write(dir.path().join("test.jsonl"), LINE).unwrap();
    let splits = read(dir.path(), &ReadOptions::default()).unwrap();
    assert_eq!((splits.valid.unwrap().len(), splits.test.unwrap().len()), (2, 1));
    fs::write(dir.path().join("valid.jsonl"), "").unwrap();
    fails(dir.path(), "/valid.jsonl: holds no records");
}

#[test]
fn marks_line_ends_and_blank_lines_are_no_records() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jsonl");
    fs::write(&path, "\u{feff}{\"text\": \"a\"}\r\n\r\n  \t\n {\"text\": \"é\"} ").unwrap();
    let records = read(&path, &ReadOptions::default()).unwrap().train;
    let expected = [(1, Record::Text("a".into())), (4, Record::Text("é".into()))];
    assert_eq!(records.iter().collect::<Vec<_>>(), expected.iter().map(|(l, r)| (*l, r)).collect::<Vec<_>>());
    assert_eq!(records.path(), path);
}

#[test]
fn what_is_no_record_names_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jsonl");
    fails(&path, ": No such file or directory (os error 2)");
    for (bytes, expected) in [
        (&b""[..], ": holds no records"),
        (b"\n \n", ": holds no records"),
        (b"\xEF\xBB\xBF", ": holds no records"),
        (b"{\"text\": \"a\"}\n\n{\"text\": 3}", ": line 3: text: expected a string, found a number"),
        (
            b"{\"text\": \"a\"}\n{\"text\": \"\xFFa\"}",
            ": line 2: not UTF-8: invalid utf-8 sequence of 1 bytes from index 10",
        ),
        (b"{\"text\": \"a\"} {}", ": line 1: not JSON: trailing characters at line 1 column 15"),
        (
            b"\n{\"messages\": [{\"role\": 3}]}",
            ": line 2: messages: message 0: invalid type: integer `3`, expected a string",
        ),
    ] {
        fs::write(&path, bytes).unwrap();
        fails(&path, expected);
    }
    // A folder in the place of a file.
    fs::create_dir_all(dir.path().join("data/train.jsonl")).unwrap();
    assert!(matches!(read(dir.path().join("data"), &ReadOptions::default()), Err(Error::Io { .. })));
}

#[test]
fn one_key_for_two_parts_is_refused() {
    let keys = Keys { prompt: "text".into(), ..Keys::default() };
    let error = read_file("no.jsonl", &ReadOptions { keys }).unwrap_err();
    assert_eq!(error.to_string(), "keys: two parts of a record stand under \"text\"");
}
