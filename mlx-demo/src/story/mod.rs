// SPDX-License-Identifier: EUPL-1.2
//! Short stories: two who meet, a small problem, and how it ends.

mod plots;
mod plots_more;

use crate::draw::Draw;
use crate::text::{Slots, capital, render, render_brief};
use crate::words::{
    ANIMALS, BOYS, CHILD_HOMES, COLOURS, FEMALE, FOODS, FRAGILE, FRIEND_TRAITS, FRUITS, GIRLS, MALE, PLACES,
    SOFT, THINGS, TRAITS,
};

/// What happens in a story, as templates.
#[derive(Debug)]
pub(crate) struct Plot {
    /// What it is about, behind `a story about`.
    pub(crate) theme: &'static str,
    /// The story from behind its opening.
    pub(crate) text: &'static str,
    /// Questions about it with their answers.
    pub(crate) questions: &'static [(&'static str, &'static str)],
}

/// A story, and what may be asked about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Story {
    /// What somebody says to be told it.
    pub(crate) request: String,
    pub(crate) text: String,
    pub(crate) questions: Vec<(String, String)>,
}

/// Fewest and most words of a story.
pub(crate) const WORDS: std::ops::RangeInclusive<usize> = 40..=120;

const OPENINGS: &[&str] = &[
    "once upon a time, there was a(n) {hero}. {he} lived {home}.",
    "once upon a time, a(n) {hero} lived {home}.",
    "there once was a(n) {hero} who lived {home}.",
    "a(n) {hero} lived {home}.",
    "long ago, a(n) {hero} lived {home}.",
    "{home} lived a(n) {hero}.",
    "this is the story of a(n) {hero}. {he} lived {home}.",
];

const REQUESTS: &[&str] = &[
    "Tell me a story about a(n) {kind}.",
    "Tell me a story about a(n) {kind}.",
    "Tell me a story about a(n) {kind} named {name}.",
    "Tell me a story about a(n) {kind} and a(n) {fkind}.",
    "Tell me a story about {theme}.",
    "Tell me a story about a(n) {kind}. It should be about {theme}.",
    "Write a story about a(n) {kind}.",
    "Write a story about a(n) {kind} and a(n) {fkind}.",
    "Write a story about {theme}.",
    "Can you tell me a story about a(n) {kind}?",
    "Please tell me a story about a(n) {kind}.",
    "I would like to hear a story about a(n) {kind}.",
    "I would like to hear a story about {theme}.",
    "Tell me a story.",
];

const SHORT_REQUESTS: &[&str] = &[
    "Tell me a short story.",
    "Tell me a short story about a(n) {kind}.",
    "Tell me a short story about {theme}.",
    "Write a short story about a(n) {kind}.",
    "Write a short story about a(n) {kind} and a(n) {fkind}.",
];

const NAME_QUESTIONS: &[(&str, &str)] = &[
    ("What was the {kind} called?", "The {kind} was called {name}."),
    ("What was the name of the {kind}?", "The name of the {kind} was {name}."),
    ("Where did {name} live?", "{name} lived {home}."),
    ("Who was {name}?", "{name} was a(n) {hero_short}."),
    ("Who was {fname}?", "{fname} was a(n) {friend_short}."),
];

/// Draws a story of [`WORDS`] words.
pub(crate) fn story(draw: &mut Draw) -> Story {
    let plot = draw.pick(&[plots::PLOTS, plots_more::PLOTS].concat());
    // The plot stays, so that long ones are as frequent as short ones.
    loop {
        let slots = cast(plot, draw);
        let template = format!("{} {}", draw.pick(OPENINGS), plot.text);
        let brief = draw.once_in(3);
        let text =
            if brief { render_brief(&template, &slots, draw) } else { render(&template, &slots, draw) };
        if !WORDS.contains(&text.split_whitespace().count()) {
            continue;
        }
        let mut questions: Vec<(&str, &str)> = [NAME_QUESTIONS, plot.questions].concat();
        draw.shuffle(&mut questions);
        let requests = if brief && draw.once_in(2) { SHORT_REQUESTS } else { REQUESTS };
        let request = render(draw.pick(requests), &slots, draw);
        let questions =
            questions.iter().map(|(q, a)| (render(q, &slots, draw), render(a, &slots, draw))).collect();
        return Story { request, text, questions };
    }
}

/// Who and what is in a story.
fn cast(plot: &Plot, draw: &mut Draw) -> Slots {
    let hero = person(draw, None);
    let friend = person(draw, Some(&hero));
    // Nobody says `an old girl`.
    let friend_traits = if friend.is_child() { TRAITS } else { FRIEND_TRAITS };
    let (trait_, friend_trait) = (draw.pick(TRAITS), draw.pick(friend_traits));
    let &(at, place) = draw.entry(PLACES);
    let colour = draw.pick(COLOURS);
    let mut slots = Slots::from([
        ("kind", hero.kind.to_owned()),
        ("name", hero.name.to_owned()),
        ("hero", format!("{trait_} {} named {}", hero.kind, hero.name)),
        ("hero_short", format!("{trait_} {}", hero.kind)),
        ("home", hero.home.to_owned()),
        ("fkind", friend.kind.to_owned()),
        ("fname", friend.name.to_owned()),
        ("friend", format!("{friend_trait} {} named {}", friend.kind, friend.name)),
        ("friend_short", format!("{friend_trait} {}", friend.kind)),
        ("place", place.to_owned()),
        ("at_place", format!("{at} {place}")),
        ("colour", colour.to_owned()),
        ("thing", draw.pick(THINGS).to_owned()),
        ("fragile", draw.pick(FRAGILE).to_owned()),
        ("soft", draw.pick(SOFT).to_owned()),
        ("fruit", draw.pick(FRUITS).to_owned()),
        ("food", draw.pick(FOODS).to_owned()),
        ("theme", plot.theme.to_owned()),
        ("title", hero.title()),
        ("ftitle", friend.title()),
    ]);
    let forms = |female: bool| {
        if female { ["she", "her", "her", "herself"] } else { ["he", "him", "his", "himself"] }
    };
    for (keys, female) in [
        ([["he", "He"], ["him", "Him"], ["his", "His"], ["himself", "Himself"]], hero.female),
        ([["fhe", "Fhe"], ["fhim", "Fhim"], ["fhis", "Fhis"], ["fhimself", "Fhimself"]], friend.female),
    ] {
        for ([small, large], form) in keys.into_iter().zip(forms(female)) {
            slots.insert(small, form.to_owned());
            slots.insert(large, capital(form));
        }
    }
    slots
}

#[derive(Debug)]
struct Person {
    kind: &'static str,
    name: &'static str,
    home: &'static str,
    female: bool,
}

impl Person {
    fn is_child(&self) -> bool {
        ["girl", "boy"].contains(&self.kind)
    }

    /// `Otto the owl`; a child's name says enough.
    fn title(&self) -> String {
        if self.is_child() { self.name.to_owned() } else { format!("{} the {}", self.name, self.kind) }
    }
}

/// Somebody, of another name and kind than `other`.
fn person(draw: &mut Draw, other: Option<&Person>) -> Person {
    loop {
        let female = draw.once_in(2);
        let person = if draw.once_in(6) {
            let (kind, names) = if female { ("girl", GIRLS) } else { ("boy", BOYS) };
            Person { kind, name: draw.pick(names), home: draw.pick(CHILD_HOMES), female }
        } else {
            let animal = draw.entry(ANIMALS);
            let female = female || ["hen", "goose"].contains(&animal.name);
            let names = if female { FEMALE } else { MALE };
            Person { kind: animal.name, name: draw.pick(names), home: draw.pick(&animal.homes), female }
        };
        if other.is_none_or(|other| other.kind != person.kind && other.name != person.name) {
            return person;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::a;

    #[test]
    fn stories_are_written_as_english_is() {
        let mut draw = Draw::new(5, "stories");
        for _ in 0..4000 {
            let story = story(&mut draw);
            let questions = story.questions.iter().flat_map(|(question, answer)| [question, answer]);
            for text in questions.chain([&story.text, &story.request]) {
                assert_eq!(faults(text), None, "{text}");
            }
            assert!(WORDS.contains(&story.text.split_whitespace().count()));
        }
    }

    /// What no text may have.
    fn faults(text: &str) -> Option<String> {
        let wrong = ["{", "}", "[", "]", "|", "(", "  ", " .", " ,", "..", ",,", "\n"];
        if let Some(found) = wrong.iter().find(|wrong| text.contains(*wrong)) {
            return Some(format!("{found:?}"));
        }
        if text.matches('"').count() % 2 == 1 {
            return Some("an open quotation".into());
        }
        if !text.ends_with(['.', '!', '?', '"']) || !text.starts_with(|c: char| c.is_uppercase() || c == '"')
        {
            return Some("no sentence".into());
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        for pair in words.windows(2) {
            let [first, second] = [pair[0], pair[1]];
            let word = second.trim_matches(|c: char| !c.is_alphanumeric());
            let bare = first.trim_matches('"').to_lowercase();
            if ["a", "an"].contains(&bare.as_str()) && a(word) != format!("{bare} {word}") {
                return Some(format!("{first} {second}"));
            }
            if bare == word.to_lowercase() && bare != "had" {
                return Some(format!("twice {first}"));
            }
            let ends = first.ends_with(['.', '!', '?']) || first.ends_with(".\"");
            if ends && !word.starts_with(|c: char| c.is_uppercase() || c.is_numeric()) {
                return Some(format!("a small {second}"));
            }
        }
        None
    }

    #[test]
    fn thousands_of_stories_are_distinct() {
        let mut draw = Draw::new(6, "stories");
        let texts: std::collections::BTreeSet<String> = (0..5000).map(|_| story(&mut draw).text).collect();
        assert_eq!(texts.len(), 5000);
    }
}
