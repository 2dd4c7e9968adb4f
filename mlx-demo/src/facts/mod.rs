// SPDX-License-Identifier: EUPL-1.2
//! Questions about simple facts, and what follows from a table of them.

mod tables;

use crate::draw::Draw;
use crate::text::{Slots, a, capital, list, render};
use tables::{
    CAPITALS, COLOURS, DAYS, KINDS, MONTHS, NOUNS, NUMBERS, OPPOSITES, PLURALS, SEASONS, SENTENCES, SINGLE,
    SIZES, VOICES, YOUNG,
};

/// A question and its answer.
pub(crate) type Pair = (String, String);

/// All questions, each of them once.
pub(crate) fn facts(draw: &mut Draw) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (question, answer) in SINGLE {
        pairs.push(((*question).to_owned(), (*answer).to_owned()));
    }
    words(&mut pairs);
    world(&mut pairs);
    calendar(&mut pairs);
    numbers(&mut pairs);
    sizes(&mut pairs);
    kinds(&mut pairs, draw);
    sentences(&mut pairs, draw);
    let mut seen = std::collections::BTreeSet::new();
    pairs.retain(|(question, _)| seen.insert(question.clone()));
    pairs
}

fn push(pairs: &mut Vec<Pair>, questions: &[String], answer: &str) {
    pairs.extend(questions.iter().map(|question| (question.clone(), answer.to_owned())));
}

fn words(pairs: &mut Vec<Pair>) {
    for (one, other) in OPPOSITES.iter().flat_map(|&(a, b)| [(a, b), (b, a)]) {
        let questions = [
            format!("What is the opposite of {one}?"),
            format!("Tell me the opposite of {one}."),
            format!("What is the opposite of the word {one}?"),
            format!("Do you know the opposite of {one}?"),
        ];
        push(pairs, &questions, &format!("The opposite of {one} is {other}."));
    }
    for (one, many) in NOUNS {
        let questions = [
            format!("What is the plural of {one}?"),
            format!("Tell me the plural of {one}."),
            format!("One {one}, two what?"),
        ];
        push(pairs, &questions, &format!("The plural of {one} is {many}."));
    }
}

fn world(pairs: &mut Vec<Pair>) {
    for (thing, colour) in COLOURS {
        let name = thing.trim_end_matches(" is");
        let questions = [
            format!("What colour is {name}?"),
            format!("Which colour is {name}?"),
            format!("Tell me the colour of {name}."),
            format!("What is the colour of {name}?"),
        ];
        push(pairs, &questions, &format!("{} {colour}.", capital(thing)));
    }
    for (country, city) in CAPITALS {
        let questions = [
            format!("What is the capital of {country}?"),
            format!("Tell me the capital of {country}."),
            format!("Which city is the capital of {country}?"),
            format!("Do you know the capital of {country}?"),
        ];
        push(pairs, &questions, &format!("The capital of {country} is {city}."));
        let questions =
            [format!("In which country is {city}?"), format!("Of which country is {city} the capital?")];
        push(pairs, &questions, &format!("{city} is the capital of {country}."));
    }
    for (animal, young) in YOUNG {
        let questions = [
            format!("What is a young {animal} called?"),
            format!("What do you call a young {animal}?"),
            format!("What is the name for the young of {}?", a(animal)),
        ];
        push(pairs, &questions, &format!("A young {animal} is called {}.", a(young)));
    }
    for (animal, verb, verbs) in VOICES {
        let questions = [
            format!("What sound does {} make?", a(animal)),
            format!("What does {} do when it speaks?", a(animal)),
            format!("How does {} sound?", a(animal)),
        ];
        push(pairs, &questions, &format!("{} {verbs}.", capital(&a(animal))));
        push(pairs, &[format!("Which animal can {verb}?")], &format!("{} can {verb}.", capital(&a(animal))));
    }
}

fn calendar(pairs: &mut Vec<Pair>) {
    for (words, unit) in [(DAYS, "day"), (MONTHS, "month")] {
        for (index, word) in words.iter().enumerate() {
            let next = words[(index + 1) % words.len()];
            let questions = [
                format!("What {unit} comes after {word}?"),
                format!("Which {unit} comes after {word}?"),
                format!("What is the {unit} after {word}?"),
            ];
            push(pairs, &questions, &format!("{next} comes after {word}."));
            let questions = [
                format!("What {unit} comes before {next}?"),
                format!("Which {unit} comes before {next}?"),
                format!("What is the {unit} before {next}?"),
            ];
            push(pairs, &questions, &format!("{word} comes before {next}."));
        }
    }
    for (index, (season, like, done)) in SEASONS.iter().enumerate() {
        let (next, ..) = SEASONS[(index + 1) % SEASONS.len()];
        push(
            pairs,
            &[format!("What season comes after {season}?"), format!("Which season comes after {season}?")],
            &format!("{} comes after {season}.", capital(next)),
        );
        push(
            pairs,
            &[format!("What season comes before {next}?"), format!("Which season comes before {next}?")],
            &format!("{} comes before {next}.", capital(season)),
        );
        push(
            pairs,
            &[format!("What is {season} like?"), format!("Tell me about {season}.")],
            &format!("In {season}, {like}."),
        );
        push(
            pairs,
            &[format!("What can you do in {season}?"), format!("What do people do in {season}?")],
            &format!("In {season}, you can {done}."),
        );
        push(
            pairs,
            &[format!("In which season can you {done}?"), format!("When can you {done}?")],
            &format!("You can {done} in {season}."),
        );
    }
}

fn numbers(pairs: &mut Vec<Pair>) {
    for (x, first) in NUMBERS.iter().enumerate() {
        for (y, second) in NUMBERS.iter().enumerate() {
            if let Some(sum) = NUMBERS.get(x + y) {
                let questions = [
                    format!("What is {first} plus {second}?"),
                    format!("How much is {first} plus {second}?"),
                    format!("Add {first} and {second}."),
                ];
                push(pairs, &questions, &format!("{} plus {second} is {sum}.", capital(first)));
                push(
                    pairs,
                    &[format!("What is {x} + {y}?"), format!("{x} + {y} = ?")],
                    &format!("{x} + {y} = {}", x + y),
                );
            }
            if let Some(rest) = x.checked_sub(y).and_then(|rest| NUMBERS.get(rest)) {
                let questions = [
                    format!("What is {first} minus {second}?"),
                    format!("How much is {first} minus {second}?"),
                    format!("Take {second} from {first}."),
                ];
                push(pairs, &questions, &format!("{} minus {second} is {rest}.", capital(first)));
                push(
                    pairs,
                    &[format!("What is {x} - {y}?"), format!("{x} - {y} = ?")],
                    &format!("{x} - {y} = {}", x - y),
                );
            }
            if x < y {
                let answer = format!("{} is greater than {first}.", capital(second));
                push(
                    pairs,
                    &[
                        format!("Which is greater, {first} or {second}?"),
                        format!("Which is greater, {second} or {first}?"),
                    ],
                    &answer,
                );
            }
        }
        if let Some(next) = NUMBERS.get(x + 1) {
            push(
                pairs,
                &[format!("What number comes after {first}?"), format!("Which number comes after {first}?")],
                &format!("{} comes after {first}.", capital(next)),
            );
            push(
                pairs,
                &[format!("What number comes before {next}?"), format!("Which number comes before {next}?")],
                &format!("{} comes before {next}.", capital(first)),
            );
        }
    }
}

fn sizes(pairs: &mut Vec<Pair>) {
    for (index, (small, _)) in SIZES.iter().enumerate() {
        for (large, _) in SIZES.iter().skip(index + 1) {
            let (s, l) = (a(small), a(large));
            for (first, second) in [(&s, &l), (&l, &s)] {
                push(
                    pairs,
                    &[format!("Which is bigger, {first} or {second}?")],
                    &format!("{} is bigger than {s}.", capital(&l)),
                );
                push(
                    pairs,
                    &[format!("Which is smaller, {first} or {second}?")],
                    &format!("{} is smaller than {l}.", capital(&s)),
                );
            }
            push(pairs, &[format!("Is {l} bigger than {s}?")], &format!("Yes, {l} is bigger than {s}."));
            push(pairs, &[format!("Is {s} bigger than {l}?")], &format!("No, {s} is smaller than {l}."));
        }
    }
    for (animal, legs) in SIZES {
        let number = if *legs == 0 { "no" } else { NUMBERS[*legs] };
        push(
            pairs,
            &[format!("How many legs does {} have?", a(animal))],
            &format!("{} has {number} legs.", capital(&a(animal))),
        );
    }
}

fn kinds(pairs: &mut Vec<Pair>, draw: &mut Draw) {
    // Colours are no things: one says `red is a colour`.
    let named = |kind: &str, word: &str| if kind == "colour" { word.to_owned() } else { a(word) };
    for (kind, members) in KINDS {
        let plural = PLURALS.iter().find(|(one, _)| one == kind).map_or(*kind, |(_, many)| many);
        for member in *members {
            let name = named(kind, member);
            push(pairs, &[format!("Is {name} {}?", a(kind))], &format!("Yes, {name} is {}.", a(kind)));
            push(
                pairs,
                &[format!("What is {name}?"), format!("What kind of thing is {name}?")],
                &format!("{} is {}.", capital(&name), a(kind)),
            );
        }
        for (other, others) in KINDS.iter().filter(|(other, _)| other != kind) {
            let name = named(other, draw.pick(others));
            push(pairs, &[format!("Is {name} {}?", a(kind))], &format!("No, {name} is {}.", a(other)));
        }
        for (count, word) in [(2, "two"), (3, "three"), (4, "four")] {
            for question in ["Name", "Tell me", "Give me"] {
                let mut some = members.to_vec();
                draw.shuffle(&mut some);
                some.truncate(count);
                push(
                    pairs,
                    &[format!("{question} {word} {plural}.")],
                    &format!("{}.", capital(&list(&some))),
                );
            }
        }
    }
}

fn sentences(pairs: &mut Vec<Pair>, draw: &mut Draw) {
    for (word, templates) in SENTENCES {
        for question in [
            "Write a sentence with the word",
            "Write a short sentence with the word",
            "Make a sentence with the word",
            "Give me a sentence with the word",
            "Please write a sentence with the word",
        ] {
            let answer = render(draw.pick(templates), &Slots::new(), draw);
            pairs.push((format!("{question} {word}."), answer));
        }
        for (count, question) in [(2, "twice"), (3, "three times")] {
            let said = vec![*word; count].join(", ");
            pairs.push((format!("Say the word {word} {question}."), format!("{}.", capital(&said))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_many_and_each_has_one_answer() {
        let pairs = facts(&mut Draw::new(1, "facts"));
        assert!(pairs.len() > 2500, "{}", pairs.len());
        for (question, answer) in &pairs {
            for text in [question, answer] {
                assert!(!text.contains(['{', '[', '|', '(']) && !text.contains("  "), "{text}");
                assert!(text.starts_with(|c: char| c.is_uppercase() || c.is_numeric()), "{text}");
            }
        }
    }

    #[test]
    fn answers_follow_from_the_tables() {
        let pairs = facts(&mut Draw::new(1, "facts"));
        for (question, expected) in [
            ("What colour is the sky?", "The sky is blue."),
            ("What is the opposite of hot?", "The opposite of hot is cold."),
            ("What is seven minus three?", "Seven minus three is four."),
            ("Which is bigger, an ant or an elephant?", "An elephant is bigger than an ant."),
            ("What month comes after December?", "January comes after December."),
            ("What is a young owl called?", "A young owl is called an owlet."),
            ("What is the capital of Austria?", "The capital of Austria is Vienna."),
            ("Is a rose a flower?", "Yes, a rose is a flower."),
            ("What is red?", "Red is a colour."),
            ("How many legs does a whale have?", "A whale has no legs."),
        ] {
            let found: Vec<&str> =
                pairs.iter().filter(|(q, _)| q == question).map(|(_, answer)| answer.as_str()).collect();
            assert_eq!(found, [expected], "{question}");
        }
    }

    #[test]
    fn a_sentence_has_its_word() {
        for (word, templates) in SENTENCES {
            for template in *templates {
                let text = render(template, &Slots::new(), &mut Draw::new(3, word)).to_lowercase();
                assert!(text.split(|c: char| !c.is_alphabetic()).any(|found| found == *word), "{text}");
            }
        }
    }

    #[test]
    fn nothing_is_of_two_kinds() {
        let mut members: Vec<&str> = KINDS.iter().flat_map(|(_, members)| *members).copied().collect();
        let count = members.len();
        members.sort_unstable();
        members.dedup();
        assert_eq!(members.len(), count);
        assert!(KINDS.iter().all(|(kind, _)| PLURALS.iter().any(|(one, _)| one == kind)));
    }
}
