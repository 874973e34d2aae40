from __future__ import annotations

import pytest

from arena.core.errors import UsageError
from arena.core.seeds import EVAL_SEEDS
from arena.environments.text.twenty_questions import TwentyQuestions, secrets
from arena.environments.text.twenty_questions._grammar import predicates
from arena.environments.text.twenty_questions._reader import _DEEPEST, _MOST_PHRASES, Reading, _Parse, load_reader
from arena.environments.text.twenty_questions._table import load_table

TABLE = load_table()
INDEX = {name: i for i, thing in enumerate(TABLE.objects) for name in thing.names}


def thinking_of(name: str, **params: int) -> TwentyQuestions:
    env = TwentyQuestions(**params)
    env.reset(seed=7)
    env.state.secret = INDEX[name]
    return env


def answer(name: str, question: str) -> str:
    """yes or no, with "!" for a guess, or "??" where the question is not understood."""
    reading = load_reader().read(question)
    if not isinstance(reading, Reading):
        return "??"
    return ("yes" if reading.objects >> INDEX[name] & 1 else "no") + ("!" if reading.guess else "")


# fmt: off
ANSWERS = [
    ("cat", "Is it alive?", "yes"),
    ("cat", "Is it a living thing?", "yes"),
    ("cat", "Is it a living creature", "yes"),
    ("rock", "is it living?", "no"),
    ("rock", "Is it inanimate?", "yes"),
    ("cat", "Is it an inanimate object?", "no"),
    ("banana", "Can you eat it?", "yes"),
    ("hammer", "Can I eat it?", "no"),
    ("banana", "Is it something you can eat?", "yes"),
    ("banana", "Is it edible?", "yes"),
    ("banana", "Do people eat it?", "yes"),
    ("banana", "Is it eaten?", "yes"),
    ("spoon", "Would I find it in a kitchen?", "yes"),
    ("spoon", "Is it found in the kitchen?", "yes"),
    ("spoon", "Is it typically found in a kitchen?", "yes"),
    ("spoon", "Can it be found in a kitchen?", "yes"),
    ("spoon", "Would you find this in a kitchen?", "yes"),
    ("spoon", "Is it a kitchen item?", "yes"),
    ("spoon", "Is it used in the kitchen?", "yes"),
    ("spoon", "Do you use it in the kitchen?", "yes"),
    ("spoon", "Is it a kitchen?", "no"),
    ("truck", "is it bigger than a car", "yes"),
    ("cat", "is it bigger than a car", "no"),
    ("cat", "Is it smaller than a breadbox?", "yes"),
    ("horse", "Is it larger than a human?", "yes"),
    ("horse", "Is it bigger than a person?", "yes"),
    ("pen", "Is it longer than 30 cm?", "no"),
    ("ladder", "Is it longer than 1 meter?", "yes"),
    ("ladder", "Is it taller than a person?", "yes"),
    ("hammer", "Does it weigh more than 5 pounds?", "no"),
    ("hammer", "Is it heavier than a kilogram?", "no"),
    ("piano", "Is it heavier than an adult human?", "??"),
    ("piano", "Is it heavier than a human?", "yes"),
    ("chair", "Does it have legs?", "yes"),
    ("chair", "Does it have four legs?", "yes"),
    ("chair", "Does it have 4 legs?", "yes"),
    ("snake", "Has it got legs?", "no"),
    ("apple", "Is it a kind of fruit?", "yes"),
    ("apple", "Is it a type of fruit?", "yes"),
    ("apple", "Is it fruit?", "yes"),
    ("apple", "Is it considered a fruit?", "yes"),
    ("apple", "Does it belong to the fruit category?", "yes"),
    ("carrot", "Is it a fruit?", "no"),
    ("tomato", "Is it a fruit?", "yes"),
    ("tomato", "Is it a vegetable?", "yes"),
    ('dog', "Isn't it an animal?", 'yes'),
    ('rock', "Isn't it an animal?", 'no'),
    ("rock", "Is it not an animal?", "yes"),
    ("dog", "Is it not an animal?", "no"),
    ("banana", "Is it a banana?", "yes!"),
    ("banana", "Is the object a banana?", "yes!"),
    ("banana", "banana", "yes!"),
    ("banana", "Is it an apple?", "no!"),
    ("banana", "Bananas?", "yes!"),
    ('banana', "I think it's a banana.", 'yes!'),
    ("banana", "My guess is: banana", "yes!"),
    ("banana", "Is it a zebra?", "no!"),
    ("carrot", "Is it orange?", "yes"),
    ("carrot", "Is it an orange?", "no!"),
    ("orange", "Is it an orange?", "yes!"),
    ("orange", "Is it orange?", "yes"),
    ("orange", "orange", "yes!"),
    ("bottle", "Is it a glass?", "??"),
    ("bottle", "Is it glass?", "yes"),
    ("bottle", "Is it made of glass?", "yes"),
    ("bottle", "Is it made from glass or plastic?", "yes"),
    ("hammer", "Is it made of metal or wood?", "yes"),
    ("hammer", "Is it made out of plastic?", "no"),
    ("hammer", "Is it a metal tool?", "yes"),
    ("hammer", "Is it a tool used in the garden?", "no"),
    ("shovel", "Is it a tool used in gardening?", "yes"),
    ("shovel", "Is it used for gardening?", "yes"),
    ("shirt", "Is it something you wear?", "yes"),
    ("shirt", "Do you wear it?", "yes"),
    ("shirt", "Can it be worn?", "yes"),
    ("shoe", "Is it worn on the feet?", "yes"),
    ("shoe", "Do you wear it on your feet?", "yes"),
    ("hat", "Is it worn on the head?", "yes"),
    ("eagle", "Can it fly?", "yes"),
    ("eagle", "Is it able to fly?", "yes"),
    ("eagle", "Does it fly?", "yes"),
    ("penguin", "Is it a bird that can fly?", "no"),
    ("eagle", "Is it a bird that can fly?", "yes"),
    ("eagle", "Is it a flying animal?", "yes"),
    ("cat", "Is it a four-legged animal?", "yes"),
    ("tiger", "Is it a wild animal?", "yes"),
    ("tiger", "Is it a large wild animal with stripes?", "yes"),
    ("tiger", "Is it a domesticated animal?", "no"),
    ("cow", "Is it eaten by animals?", "??"),
    ("cow", "Does it eat animals?", "no"),
    ("lion", "Does it eat meat?", "yes"),
    ("laptop", "Is it an electronic device?", "yes"),
    ("laptop", "Does it use electricity?", "yes"),
    ("laptop", "Is it electronic?", "yes"),
    ("laptop", "Does it require electricity to work?", "yes"),
    ("laptop", "Does it need electricity?", "yes"),
    ("toaster", "Is it a kitchen appliance?", "yes"),
    ("vacuum cleaner", "Is it a kitchen appliance?", "no"),
    ("vacuum cleaner", "Is it a household appliance?", "yes"),
    ("guitar", "Is it a musical instrument?", "yes"),
    ("guitar", "Do you play music with it?", "yes"),
    ("guitar", "Does it have strings?", "yes"),
    ("guitar", "Is it a stringed instrument?", "yes"),
    ("car", "Is it a mode of transportation?", "yes"),
    ("car", "Is it used for transportation?", "yes"),
    ("car", "Does it have wheels?", "yes"),
    ("bicycle", "Does it have two wheels?", "yes"),
    ("bicycle", "Does it have an engine?", "no"),
    ("chair", "Is it used for sitting?", "yes"),
    ("chair", "Can you sit on it?", "yes"),
    ("chair", "Is it a piece of furniture?", "yes"),
    ("bed", "Is it furniture found in a bedroom?", "yes"),
    ("pen", "Is it used for writing?", "yes"),
    ("pen", "Do you use it to write?", "yes"),
    ("pen", "Do you write with it?", "yes"),
    ("pen", "Is it used to write with?", "yes"),
    ("pen", "Is it found in an office?", "yes"),
    ("pen", "Would it be found in a school or office?", "yes"),
    ("pen", "Can you hold it in one hand?", "yes"),
    ("pen", "Can you hold it in your hand?", "yes"),
    ("coin", "Does it fit in your pocket?", "yes"),
    ("coin", "Could it fit in a pocket?", "yes"),
    ("coin", "Is it smaller than a golf ball?", "yes"),
    ("coin", "Is it round?", "yes"),
    ("cake", "Is it sweet?", "yes"),
    ("knife", "Is it sharp?", "yes"),
    ("knife", "Is it used for cutting things?", "yes"),
    ("ocean", "Is it a place?", "yes"),
    ("ocean", "Is it man-made?", "no"),
    ("car", "Is it man-made?", "yes"),
    ("car", "Is it natural?", "no"),
    ("car", "Is it made by humans?", "yes"),
    ("sun", "Is it found in space?", "yes"),
    ("whale", "Does it live in water?", "yes"),
    ("whale", "Does it live in the ocean?", "yes"),
    ("whale", "Is it a mammal that lives in the ocean?", "yes"),
    ("cow", "Is it found on a farm?", "yes"),
    ("cow", "Is it a farm animal?", "yes"),
    ("dog", "Is it a pet?", "yes"),
    ("dog", "Is it commonly kept as a pet?", "yes"),
    ("dog", "Is it bigger than a dog?", "no"),
    ("apple", "Does it grow on trees?", "yes"),
    ("apple", "Is it red?", "yes"),
    ("apple", "Is it typically red or green?", "yes"),
    ("apple", "Is its color red?", "yes"),
    ("apple", "Is it red in color?", "yes"),
    ("apple", "Does it start with the letter A?", "yes"),
    ("apple", "Does its name start with b?", "no"),
    ("apple", "What is it?", "??"),
    ("apple", "How big is it?", "??"),
    ("apple", "", "??"),
    ("apple", "asdf qwer", "??"),
    ("apple", "Is it a flibbertigibbet?", "??"),
    ("apple", "Is it an animal? Is it a plant?", "??"),
    ("apple", "Is it an animal or a plant?", "yes"),
    ("umbrella", "Is it used when it rains?", "yes"),
    ("toothbrush", "Is it found in a bathroom?", "yes"),
    ("toothbrush", "Is it used for personal hygiene?", "yes"),
    ("toothbrush", "Do you use it every day?", "yes"),
    ("spoon", "Is this object found in a kitchen?", "yes"),
    ("apple", "Does the word begin with A?", "yes"),
    ('cat', "Is the object you're thinking of a living thing?", 'yes'),
    ("cat", "Is the thing you are thinking of alive?", "yes"),
    ("lamp", "Is it something that is commonly found indoors?", "yes"),
    ("lamp", "Is it usually found inside a house?", "yes"),
    ("lamp", "Is it found in most homes?", "yes"),
    ("lamp", "Is it a household item?", "yes"),
    ("lamp", "Is it commonly found in households?", "yes"),
    ("lamp", "Is it an item found in a typical household?", "yes"),
    ("lamp", "Is it larger than a basketball?", "yes"),
    ("basketball", "Is it related to sports?", "yes"),
    ("basketball", "Is it associated with sports?", "yes"),
    ("basketball", "Is it used in sports?", "yes"),
    ("basketball", "Is it used in a sport?", "yes"),
    ("basketball", "Is it used for playing sports?", "yes"),
    ("basketball", "Is it a piece of sports equipment?", "yes"),
    ("basketball", "Is it sporting equipment?", "yes"),
    ("tree", "Would it be found in nature?", "yes"),
    ("tree", "Does it occur naturally?", "yes"),
    ("tree", "Is it found outdoors?", "yes"),
    ("tree", "Is it found outside?", "yes"),
    ("tree", "Is it usually used outdoors?", "yes"),
    ("frying pan", "Is it used primarily in the kitchen?", "yes"),
    ("frying pan", "Is it used for cooking or preparing food?", "yes"),
    ("frying pan", "Is it used to cook food?", "yes"),
    ("frying pan", "Do you use it for cooking?", "yes"),
    ("frying pan", "Is it used in cooking?", "yes"),
    ("frying pan", "Is it something you would use to prepare food?", "yes"),
    ("frying pan", "Is it made primarily of metal?", "yes"),
    ("frying pan", "Is it primarily made of metal?", "yes"),
    ("frying pan", "Is it made of metal, plastic, or wood?", "yes"),
    ("frying pan", "Is it a type of cookware?", "yes"),
    ("frying pan", "Does it have a handle?", "yes"),
    ("frying pan", "Does it have a handle and a lid?", "no"),
    ("laptop", "Does it have a screen?", "yes"),
    ("laptop", "Does it have a screen or display?", "yes"),
    ("laptop", "Is it a type of technology?", "yes"),
    ("laptop", "Can it connect to the internet?", "yes"),
    ("laptop", "Is it powered by electricity?", "yes"),
    ("laptop", "Does it run on electricity or batteries?", "yes"),
    ("laptop", "Is it a portable electronic device?", "yes"),
    ("laptop", "Is it something you would use at work?", "yes"),
    ("laptop", "Is it used for work?", "yes"),
    ("laptop", "Is it used for communication?", "yes"),
    ("laptop", "Is it used for entertainment?", "yes"),
    ("laptop", "Is it smaller than a microwave?", "yes"),
    ("laptop", "Is it smaller than a shoebox?", "yes"),
    ("laptop", "Would it fit inside a shoebox?", "yes"),
    ("laptop", "Could you carry it in one hand?", "yes"),
    ("laptop", "Can a person carry it?", "yes"),
    ("laptop", "Could one person lift it?", "yes"),
    ("laptop", "Is it heavier than 10 kg?", "no"),
    ("dog", "Does it have fur?", "yes"),
    ("dog", "Does it have four legs and a tail?", "yes"),
    ("dog", "Is it a mammal?", "yes"),
    ("dog", "Is it a domestic animal?", "yes"),
    ("dog", "Do people keep it as a pet?", "yes"),
    ('dog', "Is it commonly found in people's homes?", 'yes'),
    ("dog", "Is it a carnivore?", "yes"),
    ("dog", "Is it bigger than a cat?", "yes"),
    ("dog", "Is it an animal that lives on land?", "yes"),
    ("cow", "Do humans eat it?", "yes"),
    ("cow", "Does it produce milk?", "??"),
    ("cow", "Does it give milk?", "yes"),
    ("salmon", "Is it a fish?", "yes"),
    ("salmon", "Is it an aquatic animal?", "yes"),
    ("salmon", "Can it breathe underwater?", "yes"),
    ("bee", "Is it an insect?", "yes"),
    ("bee", "Does it have wings?", "yes"),
    ("bee", "Is it smaller than a human hand?", "yes"),
    ("rose", "Is it a plant?", "yes"),
    ("rose", "Is it a type of plant?", "yes"),
    ("rose", "Does it have thorns?", "yes"),
    ("rose", "Is it a flower?", "yes"),
    ("banana", "Is it yellow?", "yes"),
    ("banana", "Does it have a peel?", "yes"),
    ("banana", "Do you need to peel it before eating it?", "yes"),
    ("banana", "Is it a tropical fruit?", "yes"),
    ("banana", "Is it a vegetable or a fruit?", "yes"),
    ("banana", "Is it typically eaten raw?", "yes"),
    ("banana", "Is it sweet-tasting?", "??"),
    ("banana", "Is it food?", "yes"),
    ("banana", "Is it a food item?", "yes"),
    ("banana", "Is it a type of food or drink?", "yes"),
    ("milk", "Is it a liquid?", "yes"),
    ("milk", "Do you drink it?", "yes"),
    ("milk", "Is it a beverage?", "yes"),
    ("milk", "Is it a dairy product?", "yes"),
    ("shirt", "Is it clothing?", "yes"),
    ("shirt", "Is it a piece of clothing?", "yes"),
    ("shirt", "Is it an item of clothing?", "yes"),
    ("shirt", "Is it worn on the upper body?", "??"),
    ("shirt", "Is it made of fabric?", "yes"),
    ("shirt", "Is it soft?", "yes"),
    ("shirt", "Is it worn by people?", "yes"),
    ("ring", "Is it a piece of jewelry?", "yes"),
    ("ring", "Is it worn on the finger?", "yes"),
    ("ring", "Is it valuable?", "yes"),
    ("ring", "Is it shiny?", "yes"),
    ("piano", "Is it a large musical instrument?", "yes"),
    ("piano", "Is it played by blowing?", "no"),
    ("flute", "Is it played by blowing into it?", "yes"),
    ("flute", "Is it a wind instrument?", "yes"),
    ("flute", "Do you blow into it?", "yes"),
    ("train", "Is it a vehicle?", "yes"),
    ("train", "Can it carry people?", "yes"),
    ("train", "Does it travel on land?", "yes"),
    ("train", "Does it run on tracks?", "yes"),
    ("train", "Can you ride in it?", "yes"),
    ("train", "Does it have more than two wheels?", "??"),
    ("train", "Is it used for public transportation?", "yes"),
    ("airplane", "Is it a vehicle that can fly?", "yes"),
    ("airplane", "Does it travel in the air?", "yes"),
    ("toilet", "Is it found in the bathroom?", "yes"),
    ("toilet", "Is it in the bathroom?", "yes"),
    ("toilet", "Does it use water?", "yes"),
    ("mountain", "Is it a natural formation?", "yes"),
    ("mountain", "Is it a geographical feature?", "yes"),
    ("mountain", "Is it bigger than a house?", "yes"),
    ("mountain", "Can you climb it?", "yes"),
    ("mountain", "Is it made of rock?", "yes"),
    ("key", "Is it used to open doors?", "yes"),
    ("key", "Is it used to unlock something?", "yes"),
    ("key", "Is it small enough to fit in a pocket?", "yes"),
    ("key", "Is it smaller than your hand?", "yes"),
    ("key", "Is it larger than a credit card?", "yes"),
    ("clock", "Does it tell time?", "yes"),
    ("clock", "Is it used to tell time?", "yes"),
    ("mirror", "Can you see your reflection in it?", "yes"),
    ("book", "Do you read it?", "yes"),
    ("book", "Can you read it?", "yes"),
    ("book", "Does it have pages?", "yes"),
    ("book", "Is it made of paper?", "yes"),
    ("doll", "Is it a toy?", "yes"),
    ("doll", "Do children play with it?", "yes"),
    ("doll", "Is it used by children?", "yes"),
    ("doll", "Is it something children play with?", "yes"),
    ("balloon", "Is it filled with air?", "yes"),
    ("balloon", "Is it inflatable?", "yes"),
    ("saw", "Is it a tool used for cutting wood?", "??"),
    ("saw", "Is it used in construction?", "yes"),
    ("saw", "Is it a hand tool?", "yes"),
    ("saw", "Would you find it in a toolbox?", "yes"),
    ("saw", "Would I find it in a garage?", "yes"),
    ("cup", "Is it used for drinking?", "yes"),
    ("cup", "Do you drink out of it?", "yes"),
    ("cup", "Can it hold liquid?", "yes"),
    ("cup", "Is it used to hold liquids?", "yes"),
    ("cup", "Is it a container?", "yes"),
    ("cup", "Is it used for storage?", "no"),
    ("cup", "Is it tableware?", "yes"),
    ("plate", "Do you eat off of it?", "yes"),
    ("plate", "Is it used for eating?", "yes"),
    ("plate", "Is it round or square?", "??"),
    ("rock", "Is it light?", "no"),
    ("lamp", "Is it a light source?", "yes"),
    ("snake", "Does it not have legs?", "yes"),
    ('dog', "Is it something that doesn't fly?", 'yes'),
    ("rock", "Is it something that is not alive?", "yes"),
    ('rock', "Is it something that isn't alive?", 'yes'),
    ("cake", "Is it both soft and sweet?", "yes"),
    ("dog", "Is it bigger than a cat but smaller than a horse?", "yes"),
    ("car", "Is it a four-wheeled vehicle?", "yes"),
    ("apple", "Is it a hot dog?", "no!"),
    ("tree", "Is it an apple tree?", "??"),
    ("key", "Is it a car key?", "??"),
    ("bottle", "Is it a glass bottle?", "yes"),
    ("chair", "Is it a wooden chair?", "yes"),
    ("chair", "Is it a chair or a table?", "yes"),
    ("car", "Is it a toy car?", "no!"),
    ("orange", "Is it orange juice?", "no"),
    ("apple", "Is it an apple, a pear, or a peach?", "yes"),
    ("apple", "Okay, next question: is it red?", "yes"),
    ("apple", "Question 5: Is it red?", "yes"),
    ("apple", "Hmm. Great! Is it red?", "yes"),
    ("apple", "The answer is an apple.", "yes!"),
    ("apple", "Is the answer apple?", "yes!"),
    ('apple', "It's an apple!", 'yes!'),
    ("apple", "Could it be an apple?", "yes!"),
    ("apple", "Would it be an apple?", "yes!"),
    ('apple', "I'm going to guess apple", 'yes!'),
    ("apple", "Final guess: apple", "yes!"),
    ("apple", "Are you thinking of an apple?", "yes!"),
    ("apple", "Is it the apple?", "yes!"),
    ("apple", "Is it a piece of fruit?", "yes"),
    ("apple", "Is it a red fruit?", "yes"),
    ("apple", "Is it a red apple?", "yes"),
    ("apple", "Is it larger than a grape and smaller than a watermelon?", "yes"),
    ("apple", "Is it roughly the size of a tennis ball?", "??"),
    ("television", "TV?", "yes!"),
    ("trousers", "Is it a pair of pants?", "yes!"),
    ("scissors", "Is it a pair of scissors?", "yes!"),
    ("paper", "Is it a piece of paper?", "yes!"),
    ("paper", "Is it paper?", "yes!"),
    ("envelope", "Is it made of paper?", "yes"),
    ("smartphone", "Is it a cell phone?", "yes!"),
    ("smartphone", "Is it a phone?", "yes!"),
    ("duck", "Would you see it in a zoo or on a farm?", "yes"),
    ("duck", "Does it lay eggs?", "yes"),
    ("kite", "Is it a fly?", "??"),
    ("glasses", "Are they glasses?", "yes!"),
    ("glasses", "Are they worn on the face?", "yes"),
    ("shoe", "Do they come in pairs?", "yes"),
    ("shoe", "Are they shoes?", "yes!"),
    ("ocean", "Is it the sea?", "yes!"),
    ("moon", "Is it the moon?", "yes!"),
    ("violin", "Is it an instrument with strings?", "yes"),
    ("violin", "Is it an instrument you play by blowing?", "no"),
    ("violin", "Is it part of an orchestra?", "yes"),
    ("violin", "Is it smaller than a guitar?", "yes"),
    ("spider", "Does it have more than four legs?", "??"),
    ("spider", "Is it an animal with four legs?", "no"),
    ("spider", "Is it an animal without a backbone?", "yes"),
    ("snake", "Is it an animal without legs?", "yes"),
    ("penguin", "Is it a bird that cannot fly?", "yes"),
    ('penguin', "Can't it fly?", 'no'),
    ("penguin", "Is it a non-living thing?", "no"),
    ("rock", "Is it a non-living thing?", "yes"),
    ("rock", "Is it nonliving?", "yes"),
    ("candle", "Does it produce light or heat?", "yes"),
    ("candle", "Does it give off light?", "yes"),
    ("hammer", "is it a hammer", "yes!"),
    ("hammer", "HAMMER", "yes!"),
    ('hammer', 'Is it "hammer"?', 'yes!'),
    ("hammer", "**Is it a hammer?**", "yes!"),
    ("hammer", "Is it used for fixing things?", "yes"),
    ("hammer", "Is it used by carpenters?", "yes"),
    ("wallet", "Do people carry it with them?", "yes"),
    ("wallet", "Do you keep it in your pocket?", "yes"),
    ("key", "Would a person typically carry it in their pocket?", "yes"),
    ("soap", "Do people use it on a daily basis?", "yes"),
    ("soap", "Do most people use it daily?", "yes"),
    ("soap", "Is it used daily?", "yes"),
    ("soap", "Is it something most people use every day?", "yes"),
    ("soap", "Is it used for washing?", "yes"),
    ("soap", "Do you use it to clean yourself?", "yes"),
    ("shampoo", "Do you use it to wash your hair?", "??"),
    ("bread", "Is it baked?", "yes"),
    ("bread", "Is it made of flour?", "yes"),
    ("bread", "Can you buy it in a grocery store?", "yes"),
    ("bread", "Is it sold in supermarkets?", "yes"),
    ("car", "Can you buy it in a supermarket?", "no"),
    ("car", "Is it expensive?", "yes"),
    ("car", "Does it cost more than $100?", "??"),
    ("car", "Is it a land vehicle?", "yes"),
    ("car", "Do people drive it?", "yes"),
    ("car", "Can you drive it?", "yes"),
    ("car", "Is it driven on roads?", "yes"),
    ("car", "Does it have four wheels?", "yes"),
    ("car", "Does it have doors and windows?", "yes"),
    ("boat", "Does it travel on water?", "yes"),
    ("boat", "Is it used on water?", "yes"),
    ("boat", "Does it float?", "??"),
    ("jacket", "Is it worn in winter?", "yes"),
    ("jacket", "Do you wear it when it is cold?", "yes"),
    ("jacket", "Is it worn to keep warm?", "yes"),
    ("jacket", "Does it have a zipper or buttons?", "yes"),
    ("bed", "Can you sleep on it?", "yes"),
    ("bed", "Is it used for sleeping?", "yes"),
    ("bed", "Is it found in a bedroom?", "yes"),
    ("bed", "Is it the biggest object in a bedroom?", "??"),
    ("dice", "Is it used in games?", "yes"),
    ("dice", "Is it used for playing games?", "yes"),
    ("lego", "Is it a toy made of plastic?", "yes"),
    ("lego", "Is it a plastic toy that children play with?", "yes"),
    ("sun", "Is it hot?", "yes"),
    ("sun", "Is it bigger than the earth?", "yes"),
    ("coffee", "Is it hot?", "yes"),
    ("cow", "Is it black and white?", "yes"),
    ("umbrella", "Does it protect you from the rain?", "yes"),
    ("helmet", "Does it protect your head?", "yes"),
    ("pen", "Can you use it to draw or write?", "yes"),
    ("pen", "Is it longer than a finger?", "yes"),
    ("pen", "Does it weigh less than 1 pound?", "yes"),
    ("pen", "Is it less than 30 cm long?", "yes"),
    ("pen", "Is it bigger than 10 inches?", "no"),
    ("spoon", "Do you wear it in the kitchen?", "??"),
    ("shovel", "Does it live in the garden?", "no"),
    ("snail", "Does it live in the garden?", "yes"),
    ("shovel", "Does it grow in the garden?", "no"),
    ("carrot", "Does it grow in a garden?", "yes"),
    ("whale", "Is it used for swimming?", "??"),
    ("cat", "Do people live in it?", "??"),
    ("bottle", "Is it a food container?", "??"),
    ("headphones", "Is it related to music?", "yes"),
    ("headphones", "Does it have anything to do with music?", "yes"),
    ("fork", "Is it related to food?", "yes"),
    ("eagle", "Is it used for flying?", "??"),
    ("apple", "Is it found in food?", "??"),
    ("horse", "Is it taller than 2 meters?", "no"),
    ("horse", "Is it longer than 2 meters?", "yes"),
    ("giraffe", "Is it taller than 2 meters?", "yes"),
    ("giraffe", "Is it taller than a house?", "no"),
    ("tree", "Is it taller than a house?", "yes"),
    ("horse", "Is it taller than a person?", "no"),
    ("pen", "Is it shorter than a pencil?", "yes"),
    ("chair", "Is it less than 3 feet tall?", "yes"),
    ("horse", "Is it more than 2 meters long?", "yes"),
    ("horse", "Is it bigger than 2 meters?", "yes"),
    ("horse", "Does it weigh more than a ton?", "no"),
    ("key", "Is it a portable device?", "no"),
    ("smartphone", "Is it a portable device?", "yes"),
    ("rocket", "Is it a celestial body?", "no"),
    ("rocket", "Is it related to space?", "yes"),
    ("tree", "Does it grow in the ground?", "??"),
    ("rabbit", "Does it hop?", "yes"),
    ("violin", "Is it a stringed instrument played with a bow?", "yes"),
    ("bottle", "Is it heavier than 3 liters?", "??"),
    ("piano", "Is it used in games?", "no"),
    ("owl", "Is it a nocturnal bird?", "yes"),
    ("spoon", "Is it an object people use to eat?", "yes"),
    ("sock", "Is it typically sold in pairs?", "yes"),
    ("harmonica", "Is it an instrument played with the mouth?", "yes"),
    ("milk", "Is it a white drink?", "yes"),
    ("cow", "Is it a white drink?", "no"),
    ("elephant", "Is it an animal with a trunk?", "yes"),
    ("tree", "Is it an animal with a trunk?", "no"),
    ("peach", "Is it a fruit with a single large seed?", "yes"),
    ("dog", "Is the object heavier than 50 pounds?", "yes"),
    ("pen", "Is it less than 30 cm wide?", "??"),
    ("chair", "Is it an item of furniture you can sit on?", "yes"),
    ("dresser", "Is it an item of furniture you can sit on?", "no"),
    ("lion", "Is it a wild animal found in Africa?", "yes"),
    ("tiger", "Is it a wild animal found in Africa?", "no"),
    ("laptop", "Is it an electronic device used for communication?", "yes"),
    ("laptop", "Could you fit it in a backpack?", "yes"),
]
# fmt: on


@pytest.mark.parametrize(("name", "question", "expected"), ANSWERS)
def test_answer(name: str, question: str, expected: str) -> None:
    assert answer(name, question) == expected


def test_table_is_as_large_as_promised_and_tells_every_object_from_every_other() -> None:
    assert len(TABLE.objects) >= 150
    assert len({thing.category for thing in TABLE.objects}) >= 17
    assert len(TABLE.facts) >= 40
    facts = {tuple(fact.objects >> i & 1 for fact in TABLE.facts.values()) for i in range(len(TABLE.objects))}
    assert len(facts) == len(TABLE.objects)


def test_every_canonical_question_asks_for_its_own_fact() -> None:
    wrong = []
    for name, fact in TABLE.facts.items():
        reading = load_reader().read(fact.question)
        if name != "nothing" and reading != Reading(fact.objects):
            wrong.append(fact.question)
    assert not wrong


def test_every_way_to_ask_for_a_fact_is_its_own() -> None:
    """The same words listed under two facts would silently mean the first of them."""
    asks = [ask for fact in TABLE.facts.values() for ask in (*fact.asks, *fact.denies)]
    assert sorted(asks) == sorted(set(asks))


def test_every_name_is_understood_as_a_guess() -> None:
    wrong = []
    for i, thing in enumerate(TABLE.objects):
        for name in thing.names:
            for guess in (f"Is it a {name}?", name.upper(), f"My guess is: {name}."):
                if load_reader().read(guess) != Reading(1 << i, guess=True):
                    wrong.append(guess)
        if load_reader().read(f"Is it {thing.named}?") != Reading(1 << i, guess=True):
            wrong.append(thing.named)
    assert not wrong


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ("mammal", "animal"), ("bird", "animal"), ("fish", "animal"), ("insect", "invertebrate"), ("animal", "alive"),
        ("pet", "animal"), ("flower", "plant"), ("citrus", "fruit"), ("fruit", "plant"), ("food", "food_related"),
        ("aircraft", "vehicle"), ("aircraft", "flies"), ("watercraft", "vehicle"), ("public_transport", "vehicle"),
        ("footwear", "clothing"), ("clothing", "worn"), ("jewelry", "worn"), ("worn_feet", "worn"),
        ("appliance", "electric"), ("two_wheels", "wheels"),
        ("string_instrument", "strings"), ("brass", "wind_instrument"), ("woodwind", "wind_instrument"),
        ("wind_instrument", "instrument"), ("cutlery", "utensil"), ("utensil", "kitchen"), ("cookware", "cooking"),
        ("ball", "sport"), ("sphere", "round"), ("four_legs", "legs"), ("four_wheels", "wheels"),
        ("huge", "big"), ("big", "book_sized"), ("tiny", "small"), ("pocket", "small"), ("cutlery", "metal"),
        ("hand_tool", "tool"), ("screen", "electric"), ("edible", "food_related"), ("water", "landscape"),
    ],
)  # fmt: skip
def test_what_is_true_of_the_kind_is_true_of_each(narrow: str, wide: str) -> None:
    exceptions = TABLE.facts[narrow].objects & ~TABLE.facts[wide].objects
    assert [thing.names[0] for i, thing in enumerate(TABLE.objects) if exceptions >> i & 1] == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("alive", "electric"),
        ("animal", "plant"),
        ("big", "small"),
        ("mammal", "bird"),
        ("natural", "plastic"),
        ("heavy", "lightweight"),
    ],
)
def test_what_excludes_each_other(one: str, other: str) -> None:
    both = TABLE.facts[one].objects & TABLE.facts[other].objects
    assert [thing.names[0] for i, thing in enumerate(TABLE.objects) if both >> i & 1] == []


def test_episode_has_the_format_and_rewards_of_lmrl_gym() -> None:
    env = TwentyQuestions()
    assert env.reset(seed=1)[0] == "Questions:\n"
    env.state.secret = INDEX["guitar"]
    assert env.step("Is it alive?")[:3] == ("No.\n", -1.0, False)
    assert env.step("Does it have strings?")[:3] == ("Yes.\n", -1.0, False)
    assert env.step("Is it a violin?")[:3] == ("No.\n", -1.0, False)
    observation, reward, terminated, _, info = env.step("Is it a guitar?")
    assert (observation, reward, terminated) == ("Yes.\n", 0.0, True)
    assert (info["success"], info["score"]) == (True, 1.0)


def test_the_twentieth_question_is_the_last() -> None:
    env = thinking_of("guitar")
    ends = [env.step("Is it alive?")[2] for _ in range(20)]
    assert ends == [False] * 19 + [True]


def test_a_question_that_is_not_understood_is_not_counted_but_costs_the_reward() -> None:
    env = thinking_of("guitar", questions=1)
    for question in ("What is it?", "Is it a flibbertigibbet?", ""):
        observation, reward, terminated, _, info = env.step(question)
        assert str(observation).startswith("I did not understand the question.")
        assert (reward, terminated, info["valid"]) == (-1.0, False, False)
    assert "'flibbertigibbet'" in str(env.step("Is it a flibbertigibbet?")[0])
    assert env.step("Is it a guitar?")[4]["score"] == 1.0


def test_a_description_that_fits_only_the_object_is_no_guess() -> None:
    env = thinking_of("orange")
    assert env.step("Is it orange?")[:3] == ("Yes.\n", -1.0, False)
    assert env.step("Is it an orange?")[2] is True


def test_oracle_names_every_object_within_twelve_questions() -> None:
    env = TwentyQuestions()
    env.reset(seed=1)
    for secret in range(len(TABLE.objects)):
        env.reset()
        env.state.secret = secret
        asked, terminated = 0, False
        while not terminated:
            _, _, terminated, _, info = env.step(env.oracle_action())
            asked += 1
        assert info["score"] == 1.0
        assert asked <= 12


def test_a_game_of_few_objects_means_and_guesses_no_others() -> None:
    """Its oracle would ask what all that can be meant have in common, and its players guess what is never meant."""
    env = TwentyQuestions(objects=24)
    guesses = [thing for thing in TABLE.objects if f"Is it {thing.named}?" in env.legal_actions()]
    meant = set()
    for seed in range(100):
        env.reset(seed=seed)
        meant.add(TABLE.objects[env.state.secret])
        asked, terminated = 0, False
        while not terminated:
            action = env.oracle_action()
            assert action in env.legal_actions()
            _, _, terminated, _, info = env.step(action)
            asked += 1
        assert (info["success"], asked <= 7) == (True, True)
    assert len(guesses) == 24
    assert meant < set(guesses)
    assert len({thing.category for thing in guesses}) > 12


def test_any_number_of_objects_has_some_to_train_on_and_some_to_be_asked_about() -> None:
    for number in range(16, len(TABLE.objects) + 1):
        env = TwentyQuestions(objects=number)
        env.reset(seed=0)
        env.reset(seed=EVAL_SEEDS)


@pytest.mark.parametrize("number", [0, 15, 1000])
def test_too_few_or_too_many_objects_are_refused(number: int) -> None:
    with pytest.raises(UsageError, match=f"takes 16 to {len(TABLE.objects)} objects, not {number}"):
        TwentyQuestions(objects=number)


def test_oracle_wins_from_a_position_too_late_for_asking() -> None:
    env = thinking_of("guitar")
    for _ in range(19):
        env.step("Is it alive?")
    assert env.step(env.oracle_action())[4]["score"] == 1.0


def test_the_object_is_not_in_what_the_player_sees() -> None:
    """Not even as a part of another word, which a plain leak scan would report."""
    env = TwentyQuestions()
    shown = [env.reset(seed=1)[0], env.instructions]
    shown += [
        env.step(question)[0]
        for question in ("", "xyzzy?", "What is it?", "x" * 1000, "Is it alive?", "Is it not alive?")
    ]
    for i, thing in enumerate(TABLE.objects):
        env.state.secret = i
        assert secrets(env) == list(thing.names)
        for name in thing.names:
            assert not any(name in str(text).lower() for text in shown), name


@pytest.mark.parametrize(
    "question",
    [
        "is it a " * 9, "red or " * 14 + "red", "not " * 29, "is it in " + "or in " * 13 + "it",
        "is it a thing that you use in or on a thing that you use with a thing for a thing and that is red or blue?",
        "is it something that " + "you that " * 12 + "you",
        "is it not a non not non thing with without with without with without legs or with legs",
    ],
)  # fmt: skip
def test_the_work_on_a_long_chain_of_known_words_is_bounded(question: str) -> None:
    reader = load_reader()
    sentence = reader.wording.sentence(question)
    for phrase in predicates(sentence or ""):
        parse = _Parse(reader)
        parse.predicate(phrase, _DEEPEST)
        assert len(parse._known) <= _MOST_PHRASES


def test_no_questions_are_refused() -> None:
    with pytest.raises(UsageError, match="questions >= 1"):
        TwentyQuestions(questions=0)
