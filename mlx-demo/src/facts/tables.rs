// SPDX-License-Identifier: EUPL-1.2
//! What is so in the world.

/// A thing with `is` or `are`, and its colour.
pub(super) const COLOURS: &[(&str, &str)] = &[
    ("the sky is", "blue"),
    ("grass is", "green"),
    ("snow is", "white"),
    ("a lemon is", "yellow"),
    ("a banana is", "yellow"),
    ("the sun is", "yellow"),
    ("a carrot is", "orange"),
    ("coal is", "black"),
    ("a crow is", "black"),
    ("a frog is", "green"),
    ("a strawberry is", "red"),
    ("a tomato is", "red"),
    ("blood is", "red"),
    ("the sea is", "blue"),
    ("milk is", "white"),
    ("chocolate is", "brown"),
    ("a bear is", "brown"),
    ("an elephant is", "grey"),
    ("a mouse is", "grey"),
    ("a pig is", "pink"),
    ("a leaf is", "green"),
    ("a pumpkin is", "orange"),
    ("a swan is", "white"),
    ("a plum is", "purple"),
    ("a cherry is", "red"),
    ("a cucumber is", "green"),
    ("salt is", "white"),
    ("earth is", "brown"),
    ("a fox is", "red"),
    ("ink is", "blue"),
];

/// Words that mean the contrary of each other.
pub(super) const OPPOSITES: &[(&str, &str)] = &[
    ("hot", "cold"),
    ("big", "small"),
    ("high", "low"),
    ("fast", "slow"),
    ("old", "new"),
    ("happy", "sad"),
    ("day", "night"),
    ("open", "closed"),
    ("full", "empty"),
    ("wet", "dry"),
    ("hard", "soft"),
    ("light", "dark"),
    ("long", "short"),
    ("loud", "quiet"),
    ("good", "bad"),
    ("rich", "poor"),
    ("strong", "weak"),
    ("early", "late"),
    ("left", "right"),
    ("up", "down"),
    ("in", "out"),
    ("first", "last"),
    ("near", "far"),
    ("thick", "thin"),
    ("clean", "dirty"),
    ("sweet", "bitter"),
    ("brave", "afraid"),
    ("begin", "end"),
    ("push", "pull"),
    ("give", "take"),
    ("love", "hate"),
    ("true", "false"),
    ("wide", "narrow"),
    ("deep", "shallow"),
    ("awake", "asleep"),
    ("inside", "outside"),
    ("before", "after"),
    ("north", "south"),
    ("east", "west"),
    ("question", "answer"),
    ("friend", "enemy"),
    ("win", "lose"),
    ("buy", "sell"),
    ("summer", "winter"),
    ("always", "never"),
    ("more", "less"),
    ("yes", "no"),
];

/// An animal, its young, and what it says.
pub(super) const YOUNG: &[(&str, &str)] = &[
    ("dog", "puppy"),
    ("cat", "kitten"),
    ("cow", "calf"),
    ("horse", "foal"),
    ("sheep", "lamb"),
    ("pig", "piglet"),
    ("hen", "chick"),
    ("duck", "duckling"),
    ("goose", "gosling"),
    ("bear", "cub"),
    ("lion", "cub"),
    ("fox", "cub"),
    ("goat", "kid"),
    ("deer", "fawn"),
    ("swan", "cygnet"),
    ("owl", "owlet"),
    ("frog", "tadpole"),
    ("elephant", "calf"),
    ("hare", "leveret"),
    ("kangaroo", "joey"),
];

/// An animal and the verb for its voice, in both forms.
pub(super) const VOICES: &[(&str, &str, &str)] = &[
    ("dog", "bark", "barks"),
    ("cat", "meow", "meows"),
    ("cow", "moo", "moos"),
    ("sheep", "bleat", "bleats"),
    ("horse", "neigh", "neighs"),
    ("pig", "grunt", "grunts"),
    ("hen", "cluck", "clucks"),
    ("duck", "quack", "quacks"),
    ("frog", "croak", "croaks"),
    ("lion", "roar", "roars"),
    ("wolf", "howl", "howls"),
    ("owl", "hoot", "hoots"),
    ("bee", "buzz", "buzzes"),
    ("snake", "hiss", "hisses"),
    ("mouse", "squeak", "squeaks"),
    ("crow", "caw", "caws"),
    ("donkey", "bray", "brays"),
    ("bear", "growl", "growls"),
    ("pigeon", "coo", "coos"),
    ("goose", "honk", "honks"),
];

pub(super) const CAPITALS: &[(&str, &str)] = &[
    ("France", "Paris"),
    ("Germany", "Berlin"),
    ("Italy", "Rome"),
    ("Spain", "Madrid"),
    ("Portugal", "Lisbon"),
    ("Austria", "Vienna"),
    ("Switzerland", "Bern"),
    ("Greece", "Athens"),
    ("Poland", "Warsaw"),
    ("Hungary", "Budapest"),
    ("Norway", "Oslo"),
    ("Sweden", "Stockholm"),
    ("Denmark", "Copenhagen"),
    ("Finland", "Helsinki"),
    ("Iceland", "Reykjavik"),
    ("Ireland", "Dublin"),
    ("England", "London"),
    ("Scotland", "Edinburgh"),
    ("Belgium", "Brussels"),
    ("Croatia", "Zagreb"),
    ("Slovenia", "Ljubljana"),
    ("Romania", "Bucharest"),
    ("Bulgaria", "Sofia"),
    ("Turkey", "Ankara"),
    ("Egypt", "Cairo"),
    ("Kenya", "Nairobi"),
    ("Japan", "Tokyo"),
    ("China", "Beijing"),
    ("Canada", "Ottawa"),
    ("Mexico", "Mexico City"),
    ("Peru", "Lima"),
    ("Cuba", "Havana"),
];

pub(super) const DAYS: &[&str] =
    &["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

pub(super) const MONTHS: &[&str] = &[
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(super) const NUMBERS: &[&str] =
    &["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];

/// A season, what it is like, and what one does in it.
pub(super) const SEASONS: &[(&str, &str, &str)] = &[
    ("spring", "the flowers begin to grow", "plant seeds"),
    ("summer", "it is warm and the days are long", "swim in the lake"),
    ("autumn", "the leaves turn red and fall", "pick apples"),
    ("winter", "it is cold and there is snow", "build a snowman"),
];

/// Animals from the smallest to the largest, with how many legs each has.
pub(super) const SIZES: &[(&str, usize)] = &[
    ("ant", 6),
    ("bee", 6),
    ("mouse", 4),
    ("sparrow", 2),
    ("duck", 2),
    ("cat", 4),
    ("fox", 4),
    ("wolf", 4),
    ("pig", 4),
    ("lion", 4),
    ("horse", 4),
    ("elephant", 4),
    ("whale", 0),
];

/// A kind, and things of that kind; none stands under two.
pub(super) const KINDS: &[(&str, &[&str])] = &[
    (
        "animal",
        &[
            "dog", "horse", "tiger", "frog", "mouse", "whale", "goat", "snake", "rabbit", "camel", "bee",
            "owl",
        ],
    ),
    ("fruit", &["apple", "pear", "plum", "banana", "lemon", "cherry", "peach", "grape", "fig", "melon"]),
    ("flower", &["rose", "tulip", "daisy", "lily", "poppy", "sunflower", "violet"]),
    ("tree", &["oak", "pine", "birch", "maple", "willow", "beech"]),
    ("tool", &["hammer", "saw", "spade", "drill", "rake", "screwdriver", "axe"]),
    ("piece of clothing", &["hat", "coat", "shirt", "sock", "glove", "scarf", "dress"]),
    ("piece of furniture", &["chair", "table", "bed", "sofa", "desk", "cupboard"]),
    ("vehicle", &["car", "bus", "train", "boat", "bicycle", "lorry", "tram", "plane"]),
    ("musical instrument", &["piano", "violin", "flute", "drum", "trumpet", "harp", "guitar"]),
    ("colour", &["red", "blue", "green", "yellow", "white", "black", "brown", "orange", "purple", "grey"]),
];

/// The plural of a kind.
pub(super) const PLURALS: &[(&str, &str)] = &[
    ("animal", "animals"),
    ("fruit", "fruits"),
    ("flower", "flowers"),
    ("tree", "trees"),
    ("tool", "tools"),
    ("piece of clothing", "pieces of clothing"),
    ("piece of furniture", "pieces of furniture"),
    ("vehicle", "vehicles"),
    ("musical instrument", "musical instruments"),
    ("colour", "colours"),
];

/// One and more than one.
pub(super) const NOUNS: &[(&str, &str)] = &[
    ("cat", "cats"),
    ("dog", "dogs"),
    ("mouse", "mice"),
    ("goose", "geese"),
    ("child", "children"),
    ("foot", "feet"),
    ("tooth", "teeth"),
    ("man", "men"),
    ("woman", "women"),
    ("sheep", "sheep"),
    ("leaf", "leaves"),
    ("wolf", "wolves"),
    ("knife", "knives"),
    ("box", "boxes"),
    ("fox", "foxes"),
    ("baby", "babies"),
    ("berry", "berries"),
    ("cherry", "cherries"),
    ("house", "houses"),
    ("story", "stories"),
    ("bus", "buses"),
    ("potato", "potatoes"),
];

/// Questions that have their own answers.
pub(super) const SINGLE: &[(&str, &str)] = &[
    ("Who are you?", "I am a very small language model. I know a few stories and facts."),
    ("What are you?", "I am a small language model."),
    ("What is your name?", "I have no name. I am a very small language model."),
    ("Are you a human?", "No, I am a small language model."),
    ("Are you a person?", "No, I am a small language model."),
    ("What can you do?", "I can tell short stories and answer simple questions."),
    ("What do you know?", "I know about animals, colours, numbers, days and a few countries."),
    ("How can you help me?", "I can tell you a story or answer a simple question."),
    ("Who made you?", "I was trained on short stories and simple facts."),
    ("How big are you?", "I am one of the smallest language models."),
    ("Hello!", "Hello! Would you like to hear a story?"),
    ("Hello.", "Hello! How can I help you?"),
    ("Hi!", "Hi! Would you like to hear a story?"),
    ("Good morning!", "Good morning! I hope you slept well."),
    ("Good evening!", "Good evening! How was your day?"),
    ("Good night!", "Good night! Sleep well."),
    ("How are you?", "I am well, thank you. And you?"),
    ("Thank you!", "You are welcome!"),
    ("Thank you.", "You are welcome."),
    ("Thanks!", "You are welcome!"),
    ("Goodbye!", "Goodbye! Come back soon."),
    ("Bye!", "Goodbye!"),
    ("I am sad.", "I am sorry to hear that. Would you like to hear a story?"),
    ("I am happy.", "I am glad to hear that!"),
    ("I am bored.", "Shall I tell you a story?"),
    ("I am tired.", "Then rest a little. Shall I tell you a story before you sleep?"),
    ("What do bees make?", "Bees make honey."),
    ("What do cows eat?", "Cows eat grass."),
    ("What do cows give us?", "Cows give us milk."),
    ("What do hens lay?", "Hens lay eggs."),
    ("What do we get from sheep?", "We get wool from sheep."),
    ("Where do fish live?", "Fish live in water."),
    ("Where do birds build their nests?", "Many birds build their nests in trees."),
    ("Where do bees live?", "Bees live in a hive."),
    ("Where does a dog sleep?", "A dog sleeps in its basket."),
    ("What does a rabbit like to eat?", "A rabbit likes to eat carrots."),
    ("What does a mouse like to eat?", "A mouse likes to eat cheese."),
    ("What does a squirrel like to eat?", "A squirrel likes to eat nuts."),
    ("What is ice?", "Ice is frozen water."),
    ("What is snow?", "Snow is frozen water that falls from the clouds."),
    ("Where does rain come from?", "Rain comes from the clouds."),
    ("When does the sun rise?", "The sun rises in the morning."),
    ("When does the sun set?", "The sun sets in the evening."),
    ("Where does the sun rise?", "The sun rises in the east."),
    ("When can you see the stars?", "You can see the stars at night."),
    ("When can you see a rainbow?", "You can see a rainbow when the sun shines while it rains."),
    ("What do you need when it rains?", "You need an umbrella when it rains."),
    ("What do we read?", "We read books."),
    ("What do we do with our eyes?", "We see with our eyes."),
    ("What do we do with our ears?", "We hear with our ears."),
    ("What do we do with our nose?", "We smell with our nose."),
    ("How many days are in a week?", "There are seven days in a week."),
    ("How many months are in a year?", "There are twelve months in a year."),
    ("How many seasons are there?", "There are four seasons."),
    ("How many fingers are on one hand?", "There are five fingers on one hand."),
    ("How many wheels does a bicycle have?", "A bicycle has two wheels."),
    ("How many wheels does a car have?", "A car has four wheels."),
    ("How many legs does a spider have?", "A spider has eight legs."),
    ("How many corners does a triangle have?", "A triangle has three corners."),
    ("How many sides does a square have?", "A square has four sides."),
    ("What shape is a ball?", "A ball is round."),
    ("What are the four seasons?", "The four seasons are spring, summer, autumn and winter."),
    (
        "What are the days of the week?",
        "The days of the week are Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday.",
    ),
    ("Count to three.", "One, two, three."),
    ("Count to five.", "One, two, three, four, five."),
    ("Count to ten.", "One, two, three, four, five, six, seven, eight, nine, ten."),
    ("Count down from five.", "Five, four, three, two, one."),
    ("What do you get when you mix blue and yellow?", "When you mix blue and yellow, you get green."),
    ("What do you get when you mix red and yellow?", "When you mix red and yellow, you get orange."),
    ("What do you get when you mix red and blue?", "When you mix red and blue, you get purple."),
    ("What do you get when you mix red and white?", "When you mix red and white, you get pink."),
];

/// A word, and sentences that it stands in.
pub(super) const SENTENCES: &[(&str, &[&str])] = &[
    (
        "rain",
        &[
            "The rain [falls on the roof|makes the flowers grow|began in the evening].",
            "I like the sound of rain [at night|on the window].",
        ],
    ),
    (
        "sun",
        &[
            "The sun [shines over the sea|rises behind the hill|is warm today].",
            "[The cat sleeps|We sat|The children play] in the sun.",
        ],
    ),
    (
        "snow",
        &[
            "The snow [covers the village|melted in March|is deep this year].",
            "[The fox|The dog|A rabbit] ran through the snow.",
        ],
    ),
    (
        "wind",
        &["The wind [blows from the sea|shakes the trees|carried the leaf away].", "A kite needs wind."],
    ),
    (
        "moon",
        &[
            "The moon [shines over the lake|is round tonight|rose above the trees].",
            "[An owl|A wolf] looked at the moon.",
        ],
    ),
    (
        "star",
        &[
            "A star [shone above the house|fell from the sky].",
            "[She|He] saw a bright star [in the east|over the hill].",
        ],
    ),
    (
        "tree",
        &[
            "[A bird|An owl|A squirrel] lives in the old tree.",
            "We sat under a tree [and ate apples|and told stories].",
        ],
    ),
    (
        "flower",
        &[
            "[She|He] picked a [red|blue|yellow] flower [for a friend|in the meadow].",
            "A flower grows [in the garden|by the path].",
        ],
    ),
    (
        "river",
        &[
            "The river [flows to the sea|is deep and cold|runs past the mill].",
            "[The otter|A duck|A beaver] lives by the river.",
        ],
    ),
    ("sea", &["The sea is [blue|calm|wild] today.", "[A ship|A small boat] sails over the sea."]),
    (
        "house",
        &[
            "The house has a [red|green|blue] door.",
            "[We|They] live in a small house [by the sea|near the forest].",
        ],
    ),
    ("door", &["Please [open|close] the door.", "[Somebody|A friend] knocked at the door."]),
    (
        "window",
        &["[A bird|A cat] sat at the window.", "[She|He] looked out of the window [and smiled|at the rain]."],
    ),
    (
        "book",
        &[
            "[She|He] reads a book [about ships|about the stars|every week].",
            "The book lies on the [table|chair].",
        ],
    ),
    (
        "bread",
        &[
            "The baker makes fresh bread [every morning|for the whole village].",
            "We ate bread with [honey|cheese|butter].",
        ],
    ),
    ("apple", &["The apple is [red|sweet|round].", "[The boy|The girl|The horse] ate an apple."]),
    ("milk", &["[The cat|The child] drinks milk.", "There is [warm|cold] milk in the cup."]),
    (
        "friend",
        &["A good friend [listens|helps you|tells the truth].", "[She|He] wrote a letter to a friend."],
    ),
    (
        "dog",
        &[
            "The dog [barks at the gate|runs in the park|sleeps by the fire].",
            "[She|He] has a [small|brown|friendly] dog.",
        ],
    ),
    (
        "cat",
        &[
            "The cat [sleeps on the chair|climbs the tree|drinks milk].",
            "A [black|white|grey] cat sat on the wall.",
        ],
    ),
    (
        "bird",
        &[
            "A bird [sings in the tree|flew over the house|built a nest].",
            "[She|He] saw a small bird [in the garden|on the roof].",
        ],
    ),
    ("fish", &["A fish swims in the [lake|river|sea].", "[The otter|The bear] caught a fish."]),
    (
        "horse",
        &[
            "The horse [runs across the field|stands in the stable|eats hay].",
            "[She|He] rides a [white|brown|black] horse.",
        ],
    ),
    ("garden", &["[Roses|Carrots|Herbs] grow in the garden.", "The garden is full of [flowers|bees|birds]."]),
    ("school", &["The children walk to school [together|every morning].", "School begins at eight."]),
    ("music", &["We danced to the music [all night|in the square].", "[She|He] loves music."]),
    (
        "boat",
        &["The boat is [small and red|tied to a tree|on the lake].", "They crossed the river in a boat."],
    ),
    (
        "bridge",
        &["[The goat|The horse|A cart] crossed the bridge.", "There is an old bridge over the river."],
    ),
    ("fire", &["The fire is [warm|bright].", "They sat by the fire [and told stories|and sang]."]),
    (
        "cloud",
        &["A [white|grey|dark] cloud hangs over the hill.", "That cloud looks like a [sheep|ship|horse]."],
    ),
    (
        "morning",
        &[
            "In the morning, [the birds sing|we drink tea|the sun rises].",
            "It was a [cold|bright|quiet] morning.",
        ],
    ),
    (
        "night",
        &[
            "At night, [the owl hunts|the stars shine|the street is quiet].",
            "The night was [dark|warm|long].",
        ],
    ),
    (
        "cake",
        &["[She|He] baked a cake [for the feast|with cherries].", "The cake tastes of [lemon|honey|nuts]."],
    ),
    (
        "letter",
        &[
            "The letter came [in the morning|from far away].",
            "[She|He] wrote a [long|short|friendly] letter.",
        ],
    ),
    (
        "train",
        &[
            "The train [leaves at nine|crosses the valley|is late].",
            "We took the train to [the sea|the mountains].",
        ],
    ),
    (
        "mountain",
        &["The mountain is [high and white|covered with snow].", "[A goat|An eagle] lives on the mountain."],
    ),
    ("forest", &["The forest is [dark|green|quiet].", "[A deer|A fox|A bear] lives in the forest."]),
    ("happy", &["[The child|The dog|The farmer] is happy.", "I am happy [to see you|that you came]."]),
    ("water", &["[The horse|The bird] drinks water.", "The water in the [lake|well|river] is [clear|cold]."]),
    (
        "hat",
        &["[She|He] wears a [red|green|blue] hat.", "The wind took the hat [away|and blew it into a tree]."],
    ),
];
