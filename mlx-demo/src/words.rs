// SPDX-License-Identifier: EUPL-1.2
//! Words that stories and facts share.

/// An animal that may be the hero of a story.
#[derive(Debug)]
pub(crate) struct Animal {
    pub(crate) name: &'static str,
    /// Where one lives, behind `lived`.
    pub(crate) homes: [&'static str; 2],
}

const fn animal(name: &'static str, homes: [&'static str; 2]) -> Animal {
    Animal { name, homes }
}

pub(crate) const ANIMALS: &[Animal] = &[
    animal("fox", ["in a den under an old oak", "at the edge of the forest"]),
    animal("rabbit", ["in a burrow under the hill", "in a green meadow"]),
    animal("bear", ["in a cave near the waterfall", "deep in the forest"]),
    animal("mouse", ["in a tiny house under a barn", "behind the wall of an old mill"]),
    animal("owl", ["in a hollow tree", "at the top of an old tower"]),
    animal("duck", ["by a quiet pond", "in the reeds by the river"]),
    animal("frog", ["by a green pond", "under a bridge"]),
    animal("cat", ["in a house with a red roof", "above a little bakery"]),
    animal("dog", ["on a small farm", "in a yellow house by the road"]),
    animal("hedgehog", ["under a heap of leaves", "behind an old garden wall"]),
    animal("squirrel", ["high up in a chestnut tree", "in a tall pine"]),
    animal("badger", ["in a warm den under the hill", "at the foot of an old beech"]),
    animal("otter", ["by a clear stream", "on the bank of the river"]),
    animal("deer", ["in a quiet forest", "near a silver lake"]),
    animal("goat", ["high up in the mountains", "on a rocky hill"]),
    animal("sheep", ["in a field behind the village", "on a green hill"]),
    animal("horse", ["in a stable by the river", "on a farm near the sea"]),
    animal("pig", ["on a farm in the valley", "in a cosy barn"]),
    animal("hen", ["in a wooden hut on a farm", "behind the old mill"]),
    animal("turtle", ["near a warm beach", "by a small lake"]),
    animal("beaver", ["in a hut of sticks on the river", "beside a wide stream"]),
    animal("mole", ["under a garden full of roses", "deep under the meadow"]),
    animal("crow", ["at the top of a tall tree", "on the roof of a church"]),
    animal("penguin", ["on a snowy beach", "on an island full of ice"]),
    animal("elephant", ["on a wide plain", "near a muddy river"]),
    animal("monkey", ["in a tree full of figs", "at the edge of the jungle"]),
    animal("parrot", ["in a warm green jungle", "in a tree by the sea"]),
    animal("donkey", ["in a stable near the market", "on a farm on the hill"]),
    animal("goose", ["by a pond behind the farm", "near a windmill"]),
    animal("wolf", ["in the dark forest", "in a cave in the mountains"]),
    animal("lamb", ["in a meadow full of clover", "on a farm in the valley"]),
    animal("pony", ["in a field of tall grass", "in a stable with a green door"]),
];

pub(crate) const CHILD_HOMES: &[&str] = &[
    "in a small house by the sea",
    "in a village near the mountains",
    "in a red house at the end of the street",
    "on a farm in the valley",
    "in a town by a wide river",
    "in a flat above a bakery",
    "in a cottage at the edge of the forest",
];

pub(crate) const FEMALE: &[&str] = &[
    "Luna", "Mila", "Rosa", "Nora", "Ida", "Tilly", "Daisy", "Hazel", "Ruby", "Olive", "Poppy", "Wilma",
    "Flora", "Juno", "Bella", "Clara", "Molly", "Greta",
];

pub(crate) const MALE: &[&str] = &[
    "Pip", "Milo", "Otto", "Hugo", "Felix", "Bruno", "Max", "Toby", "Oscar", "Finn", "Leo", "Basil", "Ralf",
    "Sam", "Jasper", "Theo", "Alfie", "Ollie",
];

pub(crate) const GIRLS: &[&str] =
    &["Anna", "Emma", "Lily", "Sara", "Maya", "Eva", "Zoe", "Lena", "Nina", "Ella", "Julia", "Alice"];

pub(crate) const BOYS: &[&str] =
    &["Tom", "Ben", "Jack", "Paul", "Noah", "Adam", "David", "Peter", "Henry", "Simon", "Anton", "Emil"];

pub(crate) const TRAITS: &[&str] = &[
    "small", "young", "curious", "cheerful", "shy", "brave", "clever", "quiet", "friendly", "gentle",
    "merry", "polite", "patient", "careful",
];

pub(crate) const FRIEND_TRAITS: &[&str] =
    &["kind", "wise", "old", "helpful", "friendly", "strong", "clever", "calm", "funny", "gentle"];

pub(crate) const COLOURS: &[&str] =
    &["red", "blue", "green", "yellow", "white", "orange", "purple", "brown", "pink", "grey"];

pub(crate) const THINGS: &[&str] = &[
    "key", "hat", "scarf", "ball", "kite", "book", "lantern", "drum", "cup", "umbrella", "basket", "bell",
    "ring", "flute", "map", "box", "blanket", "whistle",
];

/// What breaks when somebody falls, and can be mended.
pub(crate) const FRAGILE: &[&str] = &[
    "cup", "lantern", "drum", "flute", "whistle", "box", "umbrella", "kite", "boat", "bowl", "clock", "cart",
];

/// What may fall into the mud, and be washed.
pub(crate) const SOFT: &[&str] =
    &["ball", "hat", "scarf", "blanket", "cap", "coat", "shirt", "basket", "cup", "drum"];

/// More than one of each.
pub(crate) const FOODS: &[&str] = &[
    "apples", "pears", "plums", "cherries", "nuts", "berries", "carrots", "buns", "biscuits", "figs",
    "pancakes", "peaches",
];

/// What a cake is baked with.
pub(crate) const FRUITS: &[&str] = &["apples", "pears", "plums", "cherries", "berries", "peaches", "nuts"];

/// Places, with what stands before them when somebody is there.
pub(crate) const PLACES: &[(&str, &str)] = &[
    ("in", "the meadow"),
    ("in", "the forest"),
    ("on", "the hill"),
    ("by", "the river"),
    ("by", "the lake"),
    ("on", "the beach"),
    ("in", "the park"),
    ("in", "the orchard"),
    ("by", "the old mill"),
    ("in", "the valley"),
    ("on", "the island"),
    ("in", "the wood"),
];
