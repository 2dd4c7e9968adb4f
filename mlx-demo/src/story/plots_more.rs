// SPDX-License-Identifier: EUPL-1.2
//! Plots about feelings, and about how to live with others.

use super::Plot;

pub(super) const PLOTS: &[&Plot] = &[
    &Plot {
        theme: "the dark",
        text: "{name} was afraid of the dark. Every night, {he} [left a candle burning|hid under the \
               blanket]. One evening, there were no candles left. [\"[I will not sleep at all!|What \
               shall I do?]\" {he} said. |]a(n) {friend} was [staying with {him}|there for a visit]. \
               \"Come outside with me,\" said {fname}. They [went to {place}|sat down {at_place}] and \
               looked up. [At first, {name} saw nothing. |]Then {name} saw one star, and another one, \
               and soon [hundreds|more than {he} could count]. [\"[You can only see the stars in the \
               dark|Without the dark, there would be no stars],\" said {fname}. |]{name} listened to \
               the [crickets|wind in the leaves] and [forgot to be afraid|felt calm]. [That night|When \
               they came home], {he} slept [without a light|very well], and {he} dreamed of the stars.",
        questions: &[
            ("What was {name} afraid of?", "{name} was afraid of the dark."),
            ("What did they see in the sky?", "They saw many stars in the sky."),
            ("Who went outside with {name}?", "{fname} went outside with {name}."),
        ],
    },
    &Plot {
        theme: "learning to swim",
        text: "All the others could swim, but {name} could not. {he} only [put one foot into the \
               water|watched from the bank] and [ran away|said that it was too cold]. One \
               [hot|warm|sunny] day, a(n) {friend} sat down beside {him}. \"I was afraid of the water \
               too,\" said {fname}. [\"[We can start with one small step|Shall I show you how it \
               works]?\" |]On the first day, {name} stood in the water up to {his} knees. On the second \
               day, {he} [held on to {fname} and kicked|put {his} face into the water]. On the third \
               day, {he} [swallowed some water and wanted to give up|was so tired that {he} wanted to \
               stop]. But {fname} said, \"[One more time|Try once more].\" {name} tried, and \
               [suddenly|all at once] {he} was swimming! [\"[Look at me|I can do it]!\" {he} shouted. \
               |]{fname} [clapped|was proud of {him}].[ [Small steps lead far|That summer, {name} swam \
               every day].|]",
        questions: &[
            ("What did {name} learn?", "{name} learned to swim."),
            ("Who taught {name} to swim?", "{fname} taught {name} to swim."),
        ],
    },
    &Plot {
        theme: "saying sorry",
        text: "{name} and {fname}, a(n) {friend_short}, were best friends. One day, they were playing \
               {at_place} with {fname}'s {colour} {soft}, and both wanted to have it. They pulled, and \
               the {soft} fell into the mud. \"[It is your fault|You did that]!\" said {name}. \"[No, \
               it is yours|I will not play with you any more]!\" said {fname}, and they [went home in \
               anger|did not speak for two days]. [At home, {name} [could not eat|had nobody to play \
               with] and felt [lonely|bad]. |][\"I said something unkind,\" {he} thought. |][The next \
               morning|At last], {name} went to see {fname}. \"I am sorry,\" said {name}. \"I am sorry \
               too,\" said {fname}. They [hugged|shook hands] and [cleaned|washed] the {soft} together. \
               From then on, they [took turns|shared everything], and [no day passed without \
               laughter|they were even better friends].",
        questions: &[
            ("What did {name} and {fname} both want?", "They both wanted the {colour} {soft}."),
            ("What did {name} say in the end?", "{name} said that {he} was sorry."),
            ("Who was {name}'s best friend?", "{fname} was {name}'s best friend."),
        ],
    },
    &Plot {
        theme: "a new neighbour",
        text: "[One day|In autumn|Last spring], a(n) {friend} moved into the empty house {at_place}. \
               {fname} did not know anybody and [was too shy to say hello|stayed inside all day]. \
               {name} saw {fhim} at the window. [\"[It must be hard to be new|{fname} looks lonely],\" \
               {he} thought. |]So {name} [took some {food}|packed a basket with {food}], walked over \
               and knocked. [[Nobody opened|It was quiet]. |][{name} [put the basket on the step|waited \
               a little] and knocked again. |]Then the door opened [very slowly|a little]. \
               \"[Welcome|Good morning],\" said {name}. [\"[These are for you|I live over there].\" \
               |]{fname} smiled [for the first time|from ear to ear]. They sat on the step, ate the \
               {food} and talked [until evening|about everything]. [The next day, {name} [showed \
               {fname} the way to the pond|took {fhim} to all the others]. |][Soon {fname} was not \
               lonely any more|A kind word was all it took].",
        questions: &[
            ("Who was new?", "{ftitle} was new."),
            ("What did {name} bring?", "{name} brought {food}."),
            ("Where was the empty house?", "The empty house was {at_place}."),
        ],
    },
    &Plot {
        theme: "a race",
        text: "There was a race to {place} every [summer|year], and {name} wanted to win [more than \
               anything|at last]. [{he} [got up early and ran every day|trained for weeks]. |]On the \
               day of the race, {name} was [fast|faster than all the others]. [Near the end|Halfway \
               there], {he} saw a(n) {friend} [on the ground|by the path]. {fname} had hurt {fhis} \
               [foot|leg] and could not get up. [The others ran past. |]{name} [looked at the \
               finish|could already see the finish], and then {he} stopped. \"[Hold on to me|Lean on \
               me],\" {he} said. [Slowly, they walked to the end, and [they were the last to arrive|all \
               the others were there already]. |][Everybody [cheered|clapped], louder than for the \
               winner. |]{name} did not get the {colour} [ribbon|cup], but {fname} said, \"[I would \
               rather have a friend like you|You won something better].\"",
        questions: &[
            ("Why did {name} stop?", "{name} stopped to help {fname}."),
            ("Did {name} win the race?", "No, {name} did not win the race."),
            ("Who was hurt?", "{fname} was hurt."),
        ],
    },
    &Plot {
        theme: "telling the truth",
        text: "One [rainy|quiet|hot] day, {name} was playing with a ball in the house of a(n) {friend}, \
               although it was not allowed. The ball hit a(n) {colour} [vase|bowl], and it [fell down \
               and broke|broke into pieces]. [Nobody had seen it|{name} was alone]. [{he} thought, \"I \
               could say that it was the wind.\" |][But {his} heart [beat fast|felt heavy], and [the \
               soup did not taste good|{he} could not play any more]. |]When {fname} [came back|came \
               in], {name} said, \"I broke it. I am very sorry.\" {fname} was quiet for a moment. \"I \
               am [sad|a little sad] about it,\" {fhe} said, \"but I am glad that you told me the \
               truth.\" [They [swept the floor|picked up the pieces] together. |][ {name} [helped in \
               the garden for a week|painted a new one], and {his} heart was light again.|]",
        questions: &[
            ("What did {name} break?", "{name} broke something {colour} that belonged to {fname}."),
            ("Did {name} tell the truth?", "Yes, {name} told the truth."),
        ],
    },
    &Plot {
        theme: "a friend who was ill",
        text: "{name} and a(n) {friend} met {at_place} every [day|morning]. But one [cold|grey|wet] \
               day, {fname} did not come. {name} waited [for an hour|a long time] and [grew \
               worried|began to worry]. {he} ran to {fname}'s house. {fname} lay in bed [with a red \
               nose|with a fever]. [\"I am ill,\" {fhe} said [in a weak voice|and coughed]. |]{name} \
               knew what to do. {he} [cooked a hot soup|made tea with honey], [brought a warm \
               blanket|opened the window for fresh air] and read from a book about [the sea|pirates|far \
               lands]. {name} came every day, and each day {fname} was [a little better|a little \
               stronger]. [After a week, {fhe} [could go out again|was well]. |]\"[Your visits were the \
               best medicine|Nobody could have a better friend],\" said {fname}.[ The next week, {name} \
               had a red nose, and {fname} [came with soup|sat at {his} bed].|]",
        questions: &[
            ("Who was ill?", "{fname} was ill."),
            ("How often did {name} visit {fname}?", "{name} visited {fname} every day."),
        ],
    },
    &Plot {
        theme: "a helper in need",
        text: "One day {at_place}, {name} heard a cry. a(n) {friend} was [stuck between two \
               rocks|caught in a thorny bush|stuck in deep mud]. [\"[Please help me|Help],\" called \
               {fname}. |]{name} was [tired|late already], but {he} [pulled and pushed|worked hard] \
               until {fname} was free. \"[One day, I will help you too|I will never forget this],\" \
               said {fname}. {name} [only laughed|smiled]. [\"[You do not have to|It was nothing],\" \
               {he} said. |][When winter came|Months later], there was [deep snow everywhere|no food \
               left in the house], and {name} was [hungry and cold|ill and alone]. Then somebody \
               knocked. It was {fname} with a sack full of {food}. [\"I told you that I would come,\" \
               said {fname}. |][They stayed together until spring|They lit a fire and ate], and {name} \
               [learned that no kindness is ever lost|was not cold any more].",
        questions: &[
            ("What was in the sack?", "There were {food} in the sack."),
            ("Who cried for help?", "{fname} cried for help."),
            ("Who helped {fname}?", "{name} helped {fname}."),
        ],
    },
    &Plot {
        theme: "a snowman",
        text: "[One morning|In January|On the first day of winter], everything was white. {name} ran \
               outside to build a snowman, but the snow [was heavy|was too deep for {him} alone], and \
               the big ball would not move. a(n) {friend} [passed by|looked over the fence]. \"[May I \
               help|Do you need a hand]?\" {fname} asked. Together they [rolled|pushed] the ball to \
               {place}, then a second one and a third one. {name} found two [stones|buttons] for the \
               eyes, and {fname} brought a carrot for the nose. [\"[He looks cold|Something is \
               missing],\" said {name}, and {he} gave the snowman {his} own {colour} [scarf|hat]. \
               |][They [danced around him|sang to him] until [it got dark|their noses were red]. |]In \
               spring, the snowman [melted|was gone], but [the friends met every winter to build a new \
               one|the friendship was still there].",
        questions: &[
            ("What did they build?", "They built a snowman."),
            ("What was the nose made of?", "The nose was made of a carrot."),
            ("In which season did the snowman melt?", "The snowman melted in spring."),
        ],
    },
    &Plot {
        theme: "being too proud",
        text: "{name} was very good at [climbing|singing|telling stories], and {he} knew it. \"Nobody \
               is as good as I am,\" {he} told [everybody|all the others]. The others [were tired of \
               it|did not like to hear that] and [stayed away|went away one by one]. One day, {name} \
               [fell into a deep hole|was caught in a net] {at_place}. [{he} called and called. |][At \
               last|In the evening], a(n) {friend} came, [took a rope|bent down] and [got {him} out|set \
               {him} free]. \"How did you do that?\" {name} asked. \"[I practised for many years|I am \
               good with ropes and knots],\" said {fname}, \"but I do not talk about it.\" {name} \
               [turned red|looked at {his} feet]. [\"[I have talked too much|I have been a fool],\" \
               {he} said. |]From then on, {he} [listened more than {he} talked|asked the others what \
               they could do], and [there was much to learn|soon {he} had many friends].",
        questions: &[
            ("Who helped {name}?", "{fname} helped {name}."),
            ("Why did the others stay away from {name}?", "They stayed away because {name} was too proud."),
        ],
    },
    &Plot {
        theme: "a hidden treasure",
        text: "One [rainy|grey|long] day, {name} found an old map [under the floor|in a dusty book|in a \
               bottle]. It showed a cross near {place}. \"[A treasure|We will be rich]!\" {he} said and \
               ran to a(n) {friend}. [They took a spade and walked [over hills and bridges|all \
               morning]. |]{at_place}, they began to dig. [They dug until [their arms hurt|the sun was \
               low], and then|Soon] the spade hit something hard. It was a box! {name} opened it [with \
               shaking hands|slowly]. There was no gold inside, only a(n) {colour} {thing} and a \
               letter. {fname} read it aloud: \"[The one who digs with you is the treasure|Whoever \
               finds this has a good friend].\" [{name} and {fname} [looked at each other and \
               laughed|sat in the grass and smiled]. |]They [hid the box again for somebody else|took \
               turns with the {thing}] and went home [happy|arm in arm].",
        questions: &[
            ("What was in the box?", "There was a(n) {colour} {thing} and a letter in the box."),
            ("What did {name} find?", "{name} found an old map."),
            ("Who went with {name}?", "{ftitle} went with {name}."),
        ],
    },
    &Plot {
        theme: "making music",
        text: "{name} liked to sing, but {his} voice was [rough|very deep|thin and high]. \"[Please \
               stop|That hurts my ears],\" the neighbours said, and {name} [stopped singing|only sang \
               when {he} was alone]. One [mild|warm|clear] evening, {he} sang [quietly|to {himself}] \
               {at_place}. Somebody began to play a flute. it was a(n) {friend}. \"[Do not stop|Go \
               on],\" said {fname}. \"[Your voice and my flute belong together|I have looked for a \
               voice like this].\" They [practised|played] every evening, and the music grew [better \
               and better|more beautiful]. At the summer feast, they [stood in front of everybody|went \
               on the stage]. [{name}'s knees [shook|were weak], but {fname} [nodded to {him}|began to \
               play], and {name} sang. |]When the song was over, it was [quiet|silent] for a moment. \
               Then everybody [clapped|cheered].[ \"[I did not know that it could sound like this|Sing \
               it again],\" said a neighbour.|]",
        questions: &[
            ("What did {fname} play?", "{fname} played a flute."),
            ("What did {name} like to do?", "{name} liked to sing."),
        ],
    },
];
