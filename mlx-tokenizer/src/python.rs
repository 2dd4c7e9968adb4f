// SPDX-License-Identifier: EUPL-1.2
//! How Python writes values, which chat templates rely on: `str()`, `repr()`, `json.dumps()`, and methods of `str`.

use std::fmt::Write as _;

use minijinja::value::{Kwargs, Rest, Tuple, ValueKind, ValueOrKwargs, from_args};
use minijinja::{Error, ErrorKind, Output, State, Value, escape_formatter};

/// Deeper values than any conversation has; writing them takes a frame of the stack for each level.
const DEEPEST: usize = 200;

/// Wider indentation than anybody reads.
const WIDEST: i64 = 256;

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// Writes `{{ value }}` as Jinja does.
pub(crate) fn formatter(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Number if !value.is_integer() => out.write_str(&number(value)).map_err(Error::from),
        ValueKind::Seq | ValueKind::Map => {
            let mut text = String::new();
            repr(state, value, 0, &mut text)?;
            out.write_str(&text).map_err(Error::from)
        }
        _ => escape_formatter(out, state, value),
    }
}

/// Python's `repr`, as it appears inside lists and dictionaries.
fn repr(state: &State, value: &Value, depth: usize, out: &mut String) -> Result<(), Error> {
    enter(state, depth)?;
    match value.kind() {
        ValueKind::String => quote(value.as_str().unwrap_or_default(), out),
        ValueKind::Number if !value.is_integer() => out.push_str(&number(value)),
        ValueKind::Undefined => out.push_str("Undefined"),
        ValueKind::Seq => {
            let tuple = value.is_tuple();
            out.push(if tuple { '(' } else { '[' });
            let mut count = 0;
            for item in value.try_iter()? {
                if count > 0 {
                    out.push_str(", ");
                }
                repr(state, &item, depth + 1, out)?;
                count += 1;
            }
            if tuple && count == 1 {
                out.push(',');
            }
            out.push(if tuple { ')' } else { ']' });
        }
        ValueKind::Map => {
            out.push('{');
            for (index, key) in value.try_iter()?.enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                repr(state, &key, depth + 1, out)?;
                out.push_str(": ");
                repr(state, &value.get_item(&key)?, depth + 1, out)?;
            }
            out.push('}');
        }
        _ => {
            let _ = write!(out, "{value}");
        }
    }
    Ok(())
}

/// Refuses what is too deep, and pays for the step: a value may hold another many times over, so that what is small
/// in memory is without end when it is written.
fn enter(state: &State, depth: usize) -> Result<(), Error> {
    if depth > DEEPEST {
        return Err(invalid(format!("a value is nested more than {DEEPEST} levels deep")));
    }
    state.consume_fuel(1)
}

/// Python's `repr` of a string.
fn quote(text: &str, out: &mut String) {
    let mark = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(mark);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == mark => out.extend(['\\', c]),
            c if is_printable(c) => out.push(c),
            c => {
                let code = u32::from(c);
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push(mark);
}

/// Rust and Python print the same categories of characters. Rust's own escaping also spares no combining mark at the
/// start of a text, hence the letter before it.
fn is_printable(c: char) -> bool {
    let mut pair = String::from("a");
    pair.push(c);
    matches!(c, '"' | '\'') || pair.escape_debug().eq(pair.chars())
}

/// Python's `repr` of a number: the shortest digits, with an exponent from 1e16 and below 1e-4.
fn number(value: &Value) -> String {
    match f64::try_from(value.clone()) {
        Ok(float) if !value.is_integer() => float_repr(float),
        _ => value.to_string(),
    }
}

fn float_repr(float: f64) -> String {
    if float.is_nan() {
        return "nan".into();
    }
    if float.is_infinite() {
        return if float > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let scientific = format!("{float:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let power: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&power) {
        let mut plain = float.to_string();
        if !plain.contains('.') {
            plain.push_str(".0");
        }
        plain
    } else {
        format!("{digits}e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs())
    }
}

/// The `tojson` filter as transformers defines it: `json.dumps` without escaping for HTML.
pub(crate) fn tojson(state: &State, value: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    type Positional = Option<Value>;
    let (ensure_ascii, indent, separators, sort_keys, kwargs): (
        Positional,
        Positional,
        Positional,
        Positional,
        Kwargs,
    ) = from_args(&args)?;
    let either = |positional: Option<Value>, key: &str| -> Result<Option<Value>, Error> {
        let named: Option<Value> = kwargs.get(key)?;
        Ok(positional.or(named).filter(|v| !v.is_none() && !v.is_undefined()))
    };
    let ensure_ascii = either(ensure_ascii, "ensure_ascii")?.is_some_and(|v| v.is_true());
    let sort_keys = either(sort_keys, "sort_keys")?.is_some_and(|v| v.is_true());
    let indent = match either(indent, "indent")? {
        None => None,
        Some(indent) => Some(match indent.as_str() {
            Some(text) => text.to_owned(),
            None => {
                let width = i64::try_from(indent)?;
                if width > WIDEST {
                    return Err(invalid(format!("tojson: an indent of {width} is more than {WIDEST}")));
                }
                " ".repeat(usize::try_from(width).unwrap_or(0))
            }
        }),
    };
    let (item, key) = match either(separators, "separators")? {
        Some(pair) => {
            let pair = pair.try_iter()?.collect::<Vec<_>>();
            match pair.as_slice() {
                [item, key] => (item.to_string(), key.to_string()),
                other => {
                    return Err(invalid(format!("tojson: expected two separators, found {}", other.len())));
                }
            }
        }
        None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        None => (", ".to_owned(), ": ".to_owned()),
    };
    kwargs.assert_all_used()?;
    let mut json = Json { state, ensure_ascii, sort_keys, indent, item, key, out: String::new() };
    json.write(value, 0)?;
    Ok(Value::from(json.out))
}

struct Json<'s, 't, 'e> {
    state: &'s State<'t, 'e>,
    ensure_ascii: bool,
    sort_keys: bool,
    indent: Option<String>,
    item: String,
    key: String,
    out: String,
}

impl Json<'_, '_, '_> {
    fn write(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        enter(self.state, depth)?;
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => {
                let text = match number(value).as_str() {
                    "nan" => "NaN".to_owned(),
                    "inf" => "Infinity".to_owned(),
                    "-inf" => "-Infinity".to_owned(),
                    plain => plain.to_owned(),
                };
                self.out.push_str(&text);
            }
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items = value.try_iter()?.collect::<Vec<_>>();
                self.block('[', ']', &items, depth, |json, item| json.write(item, depth + 1))?;
            }
            ValueKind::Map => {
                let mut keys = value.try_iter()?.collect::<Vec<_>>();
                if self.sort_keys {
                    keys.sort();
                }
                self.block('{', '}', &keys, depth, |json, key| {
                    match key.kind() {
                        ValueKind::String => json.string(key.as_str().unwrap_or_default()),
                        // Other keys become strings, written as JSON writes their values.
                        ValueKind::None | ValueKind::Bool | ValueKind::Number => {
                            json.out.push('"');
                            json.write(key, depth + 1)?;
                            json.out.push('"');
                        }
                        other => return Err(invalid(format!("tojson: a key cannot be of the type {other}"))),
                    }
                    json.out.push_str(&json.key);
                    json.write(&value.get_item(key)?, depth + 1)
                })?;
            }
            other => return Err(invalid(format!("tojson: a value of the type {other} cannot be written"))),
        }
        Ok(())
    }

    fn block(
        &mut self,
        open: char,
        close: char,
        items: &[Value],
        depth: usize,
        mut each: impl FnMut(&mut Self, &Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.out.push(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out.push_str(&self.item);
            }
            self.line(depth + 1)?;
            each(self, item)?;
        }
        if !items.is_empty() {
            self.line(depth)?;
        }
        self.out.push(close);
        Ok(())
    }

    fn line(&mut self, depth: usize) -> Result<(), Error> {
        if let Some(indent) = &self.indent {
            self.state.consume_fuel((indent.len() * depth / 64) as u64)?;
            self.out.push('\n');
            for _ in 0..depth {
                self.out.push_str(indent);
            }
        }
        Ok(())
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if u32::from(c) < 0x20 => {
                    let _ = write!(self.out, "\\u{:04x}", u32::from(c));
                }
                c if self.ensure_ascii && !(' '..='~').contains(&c) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(self.out, "\\u{unit:04x}");
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

/// The test `iterable`, which for Python does not hold of none.
pub(crate) fn is_iterable(value: &Value) -> bool {
    value.is_undefined() || (!value.is_none() && value.try_iter().is_ok())
}

/// Methods that templates call and minijinja's own set lacks; everything else goes on to that set.
pub(crate) fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        match name {
            "removeprefix" => {
                let (prefix,): (&str,) = from_args(args)?;
                return Ok(Value::from(text.strip_prefix(prefix).unwrap_or(text)));
            }
            "removesuffix" => {
                let (suffix,): (&str,) = from_args(args)?;
                return Ok(Value::from(text.strip_suffix(suffix).unwrap_or(text)));
            }
            "partition" => {
                let (sep,): (&str,) = from_args(args)?;
                let (before, after) = split_once(text.split_once(sep), sep)?.unwrap_or((text, ""));
                let found = if text.contains(sep) { sep } else { "" };
                return Ok(Value::from(Tuple::from([before, found, after].map(Value::from))));
            }
            "rpartition" => {
                let (sep,): (&str,) = from_args(args)?;
                let (before, after) = split_once(text.rsplit_once(sep), sep)?.unwrap_or(("", text));
                let found = if text.contains(sep) { sep } else { "" };
                return Ok(Value::from(Tuple::from([before, found, after].map(Value::from))));
            }
            "rsplit" => {
                let (sep, most): (Option<&str>, Option<i64>) = from_args(args)?;
                let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
                return Ok(rsplit(text, sep, most)?.into_iter().map(Value::from).collect());
            }
            // The format string is checked, and then goes on to minijinja's own method.
            "format" => check_widths(text)?,
            "title" => {
                let () = from_args(args)?;
                return Ok(Value::from(title(text)));
            }
            _ => {}
        }
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args)
}

/// Refuses widths and precisions that only serve to exhaust memory, and those that come from an argument.
fn check_widths(format: &str) -> Result<(), Error> {
    const WIDEST: u32 = 1000;
    let mut spec = false;
    let mut number = 0u32;
    for c in format.chars() {
        match c {
            '{' if spec => return Err(invalid("a format inside a format is not supported")),
            ':' => spec = true,
            '{' | '}' => spec = false,
            _ => {}
        }
        number = c.to_digit(10).map_or(0, |digit| number.saturating_mul(10).saturating_add(digit));
        if spec && number > WIDEST {
            return Err(invalid(format!("a width or precision of more than {WIDEST}")));
        }
    }
    Ok(())
}

fn split_once<T>(found: T, sep: &str) -> Result<T, Error> {
    if sep.is_empty() { Err(invalid("empty separator")) } else { Ok(found) }
}

fn rsplit<'t>(text: &'t str, sep: Option<&str>, most: usize) -> Result<Vec<&'t str>, Error> {
    let mut parts = Vec::new();
    let mut rest = text;
    match sep {
        Some("") => return Err(invalid("empty separator")),
        Some(sep) => {
            while parts.len() < most
                && let Some((before, after)) = rest.rsplit_once(sep)
            {
                parts.push(after);
                rest = before;
            }
            parts.push(rest);
        }
        None => {
            rest = rest.trim_end();
            while parts.len() < most
                && let Some((before, after)) = rest.rsplit_once(char::is_whitespace)
            {
                parts.push(after);
                rest = before.trim_end();
            }
            if !rest.is_empty() {
                parts.push(rest);
            }
        }
    }
    parts.reverse();
    Ok(parts)
}

/// Python's `title`: a letter that follows no letter is a capital, every other one is not.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_lowercase() || c.is_uppercase();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_python_writes_them() {
        // Each pair was printed by Python 3.11.
        for (float, text) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-0.0, "-0.0"),
            (123456789.123, "123456789.123"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(float_repr(float), text);
        }
    }

    #[test]
    fn strings_are_quoted_as_python_quotes_them() {
        for (text, expected) in [
            ("a", "'a'"),
            ("it's", "\"it's\""),
            ("both ' and \"", "'both \\' and \"'"),
            ("\"", "'\"'"),
            ("a\\b\n\t\r\0\u{7f}\u{a0}", "'a\\\\b\\n\\t\\r\\x00\\x7f\\xa0'"),
            ("é🦙e\u{301}", "'é🦙e\u{301}'"),
            ("\u{200b}\u{e000}\u{10ffff}", "'\\u200b\\ue000\\U0010ffff'"),
        ] {
            let mut out = String::new();
            quote(text, &mut out);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn rsplit_follows_python() {
        assert_eq!(rsplit("a,b,c", Some(","), 1).unwrap(), ["a,b", "c"]);
        assert_eq!(rsplit("a,b,", Some(","), 9).unwrap(), ["a", "b", ""]);
        assert_eq!(rsplit(" a  b c ", None, 1).unwrap(), [" a  b", "c"]);
        assert_eq!(rsplit("  ", None, 3).unwrap(), [""; 0]);
        assert!(rsplit("a", Some(""), 1).is_err());
    }

    #[test]
    fn title_follows_python() {
        assert_eq!(title("they're bill's FRIENDS x2y"), "They'Re Bill'S Friends X2Y");
    }
}
