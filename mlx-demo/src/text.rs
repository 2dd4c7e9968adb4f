// SPDX-License-Identifier: EUPL-1.2
//! Templates of English text.
//!
//! `[one|another]` is one of the alternatives, which may have such brackets in them; `{name}` is the value of a slot;
//! `a(n)` is the article that fits the word behind it. Sentences get their capitals by themselves, except behind a
//! quotation that ends in `!` or `?`, where a sentence may go on.

use std::collections::BTreeMap;

use crate::draw::Draw;

/// The values of slots. A value may itself be a template.
pub(crate) type Slots = BTreeMap<&'static str, String>;

/// Text from a template. A slot without a value stays as it is written, which the tests would see.
pub(crate) fn render(template: &str, slots: &Slots, draw: &mut Draw) -> String {
    finish(template, slots, draw, false)
}

/// The same without what may be left out.
pub(crate) fn render_brief(template: &str, slots: &Slots, draw: &mut Draw) -> String {
    finish(template, slots, draw, true)
}

fn finish(template: &str, slots: &Slots, draw: &mut Draw, brief: bool) -> String {
    let mut out = String::new();
    expand(template, slots, draw, brief, &mut out);
    // An alternative may be empty, and leaves two spaces.
    let words: Vec<&str> = out.split(' ').filter(|word| !word.is_empty()).collect();
    capitals(&articles(&words.join(" ")))
}

fn expand(template: &str, slots: &Slots, draw: &mut Draw, brief: bool, out: &mut String) {
    let mut rest = template;
    while let Some(at) = rest.find(['[', '{']) {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        let end = closing(tail);
        let inner = tail.get(1..end).unwrap_or_default();
        rest = tail.get(end + 1..).unwrap_or_default();
        if tail.starts_with('[') {
            let choices = alternatives(inner);
            let chosen = draw.pick(&choices);
            let left_out = brief && choices.contains(&"");
            expand(if left_out { "" } else { chosen }, slots, draw, brief, out);
        } else if let Some(value) = slots.get(inner) {
            expand(value, slots, draw, brief, out);
        } else {
            out.push_str(&format!("{{{inner}}}"));
        }
    }
    out.push_str(rest);
}

/// Where the bracket that `text` begins with is closed.
fn closing(text: &str) -> usize {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// The alternatives of a bracket, those of inner brackets left together.
fn alternatives(inner: &str) -> Vec<&str> {
    let (mut list, mut depth, mut start) = (Vec::new(), 0usize, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            '|' if depth == 0 => {
                list.push(inner.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    list.push(inner.get(start..).unwrap_or_default());
    list
}

/// A word with its indefinite article.
pub(crate) fn a(word: &str) -> String {
    format!("{} {word}", article(word))
}

fn article(word: &str) -> &'static str {
    let word = word.to_lowercase();
    // Spelt with a vowel and spoken with a consonant, and the other way round.
    let silent = ["hour", "honest"].iter().any(|start| word.starts_with(start));
    let spoken = ["uni", "use", "euro", "one"].iter().any(|start| word.starts_with(start));
    if silent || (word.starts_with(['a', 'e', 'i', 'o', 'u']) && !spoken) { "an" } else { "a" }
}

fn articles(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("a(n) ") {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        rest = tail.get(5..).unwrap_or_default();
        out.push_str(article(rest));
        out.push(' ');
    }
    out.push_str(rest);
    out
}

fn capitals(text: &str) -> String {
    let mut out = String::new();
    let mut starts = true;
    let mut last = ' ';
    for c in text.chars() {
        if starts && c.is_alphanumeric() {
            out.extend(c.to_uppercase());
            starts = false;
        } else {
            out.push(c);
        }
        // The mark before the last character decides: `. ` ends a sentence, and so does `." `.
        if c == ' ' || c == '\n' {
            starts = starts || matches!(last, '.' | '!' | '?');
        }
        if !(c == '"' && last == '.') {
            last = c;
        }
    }
    out
}

/// A word with a capital.
pub(crate) fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// `one, two and three`.
pub(crate) fn list(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(template: &str) -> String {
        let slots = Slots::from([("kind", "owl".into()), ("both", "{kind} and [{kind}]".into())]);
        render(template, &slots, &mut Draw::new(1, ""))
    }

    #[test]
    fn slots_alternatives_articles_and_capitals() {
        for (template, expected) in [
            (
                "there was a(n) {kind}. a(n) [fox] came. \"come in.\" it came.",
                "There was an owl. A fox came. \"Come in.\" It came.",
            ),
            ("\"come!\" said a(n) {kind}! then it came? yes.", "\"Come!\" said an owl! Then it came? Yes."),
            ("{both}", "Owl and owl"),
            ("[[a]] {none}", "A {none}"),
            ("a. [] b. [|]c.[]", "A. B. C."),
            ("a(n) hour with a(n) unicorn", "An hour with a unicorn"),
        ] {
            assert_eq!(rendered(template), expected);
        }
    }

    #[test]
    fn each_alternative_is_drawn() {
        let mut draw = Draw::new(2, "x");
        let found: std::collections::BTreeSet<String> =
            (0..60).map(|_| render("[a|b [c|d]|e]", &Slots::new(), &mut draw)).collect();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["A", "B c", "B d", "E"]);
    }

    #[test]
    fn brief_texts_have_no_more_than_they_need() {
        let mut draw = Draw::new(4, "");
        assert!((0..20).all(|_| render_brief("a[ b|] [c|d].[ e.|]", &Slots::new(), &mut draw).len() == 4));
    }

    #[test]
    fn lists_have_commas_and_one_and() {
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        assert_eq!(
            (capital("éa"), a("apple"), a("uniform")),
            ("Éa".into(), "an apple".into(), "a uniform".into())
        );
    }
}
