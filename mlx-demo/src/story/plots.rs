// SPDX-License-Identifier: EUPL-1.2
//! Plots about things, places and weather.

use super::Plot;

pub(super) const PLOTS: &[&Plot] = &[
    &Plot {
        theme: "a lost {thing}",
        text: "{he} had a(n) {colour} {thing} and [took it everywhere|loved it very much|never went out \
               without it]. One [sunny|windy|cold|warm|bright] [morning|afternoon|day], {name} went to \
               {place} to [play|take a walk|look for flowers]. When {he} came home, the {thing} was \
               gone. {name} [looked under the bed and behind the door, but it was not there|searched \
               the whole house, but could not find it|was so sad that {he} could not eat]. Then a(n) \
               {friend} came [by|to visit]. \"[Do not worry|Do not be sad|Dry your tears],\" said \
               {fname}. [\"[We will look for it together|Let us go back the way you came|Four eyes see \
               more than two].\" |][they walked back to {place} and looked [in the grass|under every \
               bush|behind every stone]. |][At last|After a while|In the end], {fname} saw something \
               {colour} [under a big leaf|next to a tree|between two stones]. it was the {thing}! \
               [{name} [hugged {fname}|jumped for joy|laughed out loud] and thanked {fhim}. |][From \
               that day on, {name} always took good care of the {thing}|That evening, they shared a \
               warm soup|{name} and {fname} were friends from then on].",
        questions: &[
            ("What did {name} lose?", "{name} lost a(n) {colour} {thing}."),
            ("Who helped {name}?", "{ftitle} helped {name}."),
            ("What colour was the {thing}?", "The {thing} was {colour}."),
            ("Where was the {thing}?", "The {thing} was {at_place}."),
        ],
    },
    &Plot {
        theme: "sharing {food}",
        text: "[One day|One morning|One autumn day], {name} found a basket of {food} {at_place}. \
               \"[These are all for me|What a feast|I will not be hungry today]!\" {he} said. [On the \
               way home|A little later|At the next corner], {he} met a(n) {friend}. {fname} [looked \
               thin and tired|had not eaten all day|was very hungry]. {name} looked at the basket and \
               thought for a [moment|while]. [[It was hard to give something away|There were so many \
               {food} in it]. |][then {he} smiled. |]\"[Sit down with me|Come and eat with me|Take as \
               many as you like],\" {he} said. They sat [under a tree|in the sun|on a log] and ate \
               [together|side by side] until the basket was empty. \"[You are very kind|That was the \
               best meal of my life|I will not forget this],\" said {fname}. {name} [felt warm \
               inside|was glad], for [shared food tastes better|the {food} had never tasted so good|a \
               good meal is better with a friend].",
        questions: &[
            ("What did {name} find?", "{name} found a basket of {food}."),
            ("What did {name} share?", "{name} shared {food} with {fname}."),
            ("Who was hungry?", "{fname} was hungry."),
        ],
    },
    &Plot {
        theme: "a storm",
        text: "One [hot|grey|quiet] afternoon, {name} was {at_place} when the sky turned dark. [The \
               wind began to blow|The leaves began to shake], and [big drops fell|rain fell] from the \
               clouds. then there was thunder. {name} was [afraid|scared] and [ran as fast as {he} \
               could|did not know where to go]. \"[Over here|Come in|This way]!\" called a voice. a(n) \
               {friend} stood [in front of a small cave|at the door of a little hut|under a thick roof \
               of leaves] and waved. {name} [ran inside|hurried in]. {fname} gave {him} [a dry \
               blanket|a cup of warm milk|a place by the fire] and [told {him} funny stories|sang old \
               songs] until the storm was over. [When the sun came out|At last], there was a rainbow \
               over {place}. [\"[Storms always end|After the rain comes the sun],\" said {fname}. \
               |]{name} [smiled|nodded] and was not afraid of thunder any more.",
        questions: &[
            ("What was {name} afraid of?", "{name} was afraid of the storm."),
            ("Who helped {name} in the storm?", "{fname} helped {name} in the storm."),
            ("What was over {place} in the end?", "In the end, there was a rainbow over {place}."),
        ],
    },
    &Plot {
        theme: "planting a seed",
        text: "[In spring|One spring morning|When the snow was gone], {name} found a [tiny|small|round] \
               seed {at_place}. [\"[I wonder what is inside|What will it become]?\" {he} asked. |]{he} \
               put it into the [soft|brown|dark] earth and gave it [water|some water] every day. A week \
               passed, and [nothing happened|there was nothing to see]. {name} [was about to give \
               up|felt sad]. \"[Be patient|Give it time|Good things are slow],\" said a(n) {friend}, \
               who [lived next door|often came by]. So {name} waited. [The sun shone, the rain fell|The \
               days grew warm], and one morning there was a green [leaf|shoot]. it grew and grew. In \
               summer, a(n) {colour} flower [opened|stood] there, [taller than {name}|as big as a \
               plate]. {name} called {fname}, and they [sat beside it|looked at it] all day. \"You were \
               right,\" said {name}.[ \"[It was worth the wait|Waiting is hard, but it helps].\"|]",
        questions: &[
            ("What did {name} find?", "{name} found a seed."),
            ("What colour was the flower?", "The flower was {colour}."),
            ("Who told {name} to wait?", "{fname} told {name} to wait."),
        ],
    },
    &Plot {
        theme: "a broken {fragile}",
        text: "[One day|One evening|One rainy day], {name} [fell over a stone|slipped on the wet grass] \
               {at_place} and broke {his} {colour} {fragile}. It was [a present from {his} \
               grandmother|the oldest thing {he} had|{his} favourite], and {he} began to cry. a(n) \
               {friend} heard {him} and came [closer|near]. \"[Let me see|Show it to me],\" said \
               {fname}. \"[I think it can be mended|I have mended harder things than this].\" {fname} \
               took some [glue|string and wax|thread and paste] and worked [very carefully|slowly and \
               with care]. [{name} held the pieces. |][When the moon came up|An hour later], the \
               {fragile} was [whole again|as good as new]. [only a thin line was left. |][\"[Now it has \
               a story|The line shows that somebody cared for it],\" said {fname}. |]{name} \
               [kept|loved] the {fragile} even more than before and [never forgot the kind \
               {fkind}|baked a cake for {fname}].",
        questions: &[
            ("What broke?", "The {colour} {fragile} broke."),
            ("Who mended the {fragile}?", "{fname} mended the {fragile}."),
            ("Why did {name} cry?", "{name} cried because the {fragile} was broken."),
        ],
    },
    &Plot {
        theme: "the way home",
        text: "[One day|One misty morning|One winter day], {name} [followed a butterfly|followed a \
               little bird|ran after a leaf] to {place} and forgot to look at the path. [Soon|All at \
               once], nothing looked the same. [\"[I am lost|Where am I]!\" {he} [cried|whispered]. \
               |]It [grew dark|was getting late], and {name} sat down [on a stone|under a tree]. then \
               {he} saw a small light. [It was a lantern, and a(n) {friend} was holding it.|a(n) \
               {friend} was holding a lantern.] \"[Are you lost|Do you need help]?\" {fname} asked. \
               {name} nodded. \"Tell me what is near your home,\" said {fname}. [{name} thought about \
               the way the air smelled and the sounds at night, and told {fhim}|{name} told {fhim}]. \
               [\"I know that place,\" said {fname}. |]they walked [hand in hand|side by side|slowly] \
               through the dark until {name} saw {his} own door. \"Thank you,\" said {name}.[ \"[Next \
               time I will look at the path|I will never go so far alone again].\"|]",
        questions: &[
            ("Who got lost?", "{title} got lost."),
            ("What was {fname} holding?", "{fname} was holding a lantern."),
            ("Who brought {name} home?", "{fname} brought {name} home."),
        ],
    },
    &Plot {
        theme: "a birthday",
        text: "It was {his} birthday, but nobody [said a word about it|seemed to know]. {name} went to \
               {place} and [asked {his} friends to play|looked for somebody to play with]. \"[I am \
               busy|I have no time today],\" said a(n) {friend}, and [ran away|hurried off]. {name} sat \
               alone [all afternoon|until evening] and [felt very small|was sad]. [\"[They have \
               forgotten me|Nobody thinks of me],\" {he} said. |]When the sun went down, {he} walked \
               home. [the house was dark. |]{name} opened the door, and [suddenly|all at once] there \
               was light! \"[Happy birthday|Surprise]!\" everybody [shouted|cried]. There were \
               [candles|paper stars] and {food}, and on the table lay a(n) {colour} {thing}. \"[That is \
               why I was busy|I made it for you],\" said {fname}. {name} [laughed|cried a little] for \
               joy.[ It was the best birthday [of all|of {his} life].|]",
        questions: &[
            ("What did {name} get for {his} birthday?", "{name} got a(n) {colour} {thing}."),
            ("Why was {fname} busy?", "{fname} was busy because {fhe} made a present for {name}."),
            ("Who had a birthday?", "{name} had a birthday."),
        ],
    },
    &Plot {
        theme: "a wide river",
        text: "{his} grandmother lived on the other side of a river, and {name} wanted to [visit \
               her|bring her some {food}]. But the bridge was [broken|gone], and the water was [deep \
               and cold|wild]. {name} [sat on the bank|stood there] and did not know what to do. \
               [Soon|Then] a(n) {friend} came along. [\"I want to cross the river too,\" said {fname}. \
               |]\"[I have a rope|I found some wood], but I cannot do it alone.\" So they [worked \
               together|made a plan]. {name} [carried branches|held the wood], and {fname} tied them \
               with a rope. By [noon|evening], they had built a raft. [They [pushed off with a long \
               stick|sat down and held on], and the raft [floated|carried them] to the other side. \
               |]The grandmother [clapped her hands|was very happy] when she saw them. [They [ate|had \
               tea] together, and {fname} [stayed for supper|told them about {fhis} travels]. |][ \
               [Together they had done what one alone could not do|Two heads are better than one].|]",
        questions: &[
            ("What did {name} and {fname} build?", "{name} and {fname} built a raft."),
            (
                "Who lived on the other side of the river?",
                "{name}'s grandmother lived on the other side of the river.",
            ),
        ],
    },
    &Plot {
        theme: "a strange noise",
        text: "One night, {name} [woke up|could not sleep]. there was a noise [outside the \
               window|behind the door|in the garden]. [Tap, tap, tap|Scratch, scratch|Creak, creak], it \
               went. \"[Is it a ghost|What can that be]?\" {name} whispered and pulled the {colour} \
               blanket over {his} head. [The noise did not stop. |]{name} [took a deep breath|gathered \
               all {his} courage], lit a candle and opened the door. There stood a(n) {friend}, [wet \
               and cold|shaking with cold]. \"[I am sorry|Please do not be afraid],\" said {fname}. \
               [\"[It is raining, and I have no place to sleep|I saw your house and hoped that you were \
               awake].\" |]{name} [laughed|had to laugh]. \"I thought you were a ghost!\" {he} said. \
               {He} made some tea and gave {fname} [a warm bed|a place by the fire]. In the morning, \
               they had breakfast together, and {name} had [a new friend|a friend instead of a ghost].",
        questions: &[
            ("What did {name} hear?", "{name} heard a strange noise."),
            ("Who stood at the door?", "{ftitle} stood at the door."),
            ("What did {name} think it was?", "{name} thought it was a ghost."),
        ],
    },
    &Plot {
        theme: "baking a cake",
        text: "[On Sunday|One rainy day|One cold morning], {name} wanted to bake a cake with {fruit}. \
               {he} took flour and milk, but there were no eggs [in the house|left]. \"[What shall I do \
               now?|A cake without eggs is no cake!]\" {he} said. {He} went next door to a(n) {friend}. \
               \"I have eggs,\" said {fname}, \"but I have no {fruit}.\" [They [looked at each other \
               and smiled|had the same idea]. |]{fname} brought the eggs, and they [baked|made the \
               cake] together. [{name} stirred, and {fname} [put the {fruit} on top|watched the oven]. \
               |][soon the whole house smelled [sweet|wonderful]. |]The cake was [golden and round|big \
               and soft], and they ate it [on the steps in front of the house|while it was still warm]. \
               \"[We should do this every week|Tomorrow we bake again],\" said {name}.[ And that is \
               what they did.|]",
        questions: &[
            ("What was missing?", "The eggs were missing."),
            ("Who had eggs?", "{fname} had eggs."),
            ("What was on the cake?", "There were {fruit} on the cake."),
        ],
    },
    &Plot {
        theme: "a kite",
        text: "{name} had made a(n) {colour} kite [with {his} own hands|out of paper and two sticks]. \
               One windy day, {he} took it to {place}. the kite [climbed|flew] higher and higher, until \
               a strong wind [pulled it away|tore the string]. It landed in the top of a [very \
               tall|huge] tree. {name} could not climb so high. [{he} [called|shook the tree], but the \
               kite did not move. |]a(n) {friend} was watching. \"[I am not good at climbing|I cannot \
               climb either],\" said {fname}, \"but I am good at thinking.\" {fhe} tied a stone to a \
               long [rope|string] and threw it over the branch. Together they pulled, the branch [bent \
               down|shook], and the kite came down [slowly|with a rustle]. [They mended the string and \
               flew the kite [until the sun went down|in turns]. |][ High above {place}, it looked like \
               a(n) {colour} [bird|star].|]",
        questions: &[
            ("What colour was the kite?", "The kite was {colour}."),
            ("Where did the kite land?", "The kite landed in the top of a tree."),
            ("Who had the idea with the stone?", "{fname} had the idea."),
        ],
    },
    &Plot {
        theme: "a trip to the market",
        text: "[On Saturday|One Friday|Early in the morning], {name} went to the market to buy [bread \
               and honey|milk and cheese|a new broom]. On the way, {he} met a(n) {friend}, who was \
               pulling a heavy cart full of {food}. The wheel was stuck in the mud. {name} [did not \
               think twice|put down {his} bag]. {he} pushed while {fname} pulled, and after a while the \
               cart was free. But now it was late, and when {name} came to the market, the stalls were \
               [empty|closed]. [{He} turned to go home with empty hands. |]\"Wait!\" called {fname}. \
               \"[You helped me, and now I can help you|One good turn deserves another].\" {Fhe} filled \
               {name}'s bag with {food}. {name} [thanked {fhim}|was very happy], and at home [there was \
               a feast|everybody had something to eat].[ [A little help goes a long way|Kindness comes \
               back to you].|]",
        questions: &[
            ("What was in the cart?", "There were {food} in the cart."),
            ("Why was {name} late?", "{name} was late because {he} helped {fname} with the cart."),
            ("Where did {name} want to go?", "{name} wanted to go to the market."),
        ],
    },
];
