"""Which English phrases does the built-in agent know, and what does it say itself?

Data only: `agents.intents` reads the phrases, `agents.builtin` says the replies. Phrases are compared
word by word; case, punctuation and apostrophes do not matter. `(to|with)` is a choice, `[please]` may
be missing, and `{someone}` stands for any phrase of the list of that name.
"""

from __future__ import annotations

LISTS = {
    "a": ["a", "an", "the", "your", "some", "any", "another", "one of your"],
    "human": [
        "[real|actual|live|support|human] person", "[real|actual|live] human [being]",
        "[real|actual|live|human|support|service|customer service|customer support] agent",
        "[support|service|sales|customer service|customer support] (representative|rep)",
        "customer (service|support|care)", "(human|live) support", "(staff|team) member",
        "member of (staff|your team)", "operator", "manager", "supervisor", "adviser", "advisor",
    ],
    "humans": ["humans", "people", "agents", "operators", "representatives"],
    "someone": [
        "(someone|somebody|anyone|anybody) [real|human|else]", "[{a}] {human}", "[real|any] {humans}",
        "[{a}] (colleague|support|support team|sales team)", "your (boss|team|staff)",
    ],
    "talk": [
        "(talk|speak|chat|connected|connect me) (to|with)", "put [me] (through to|in touch with)", "get through to",
        "(transfer|transferred|pass|forward|switch|refer|escalate|hand) [me|this|it|us] [on|over] to",
        "get [a] hold of",
    ],
    "want": [
        "i [really|just|would|do] (want|need|demand|prefer|like) [to have]", "i'd (like|prefer|love) [to have]",
        "(give|get|bring|find|send) me", "(can|could|may) i [please] (get|have)", "(can|could) you get me",
    ],
    "bot": [
        "[chat] (bot|bots)", "(chatbot|chatbots|ai)", "[virtual|automated|ai] assistant", "automated (reply|replies)",
    ],
    "machine": ["{bot}", "(robot|robots|machine|machines|computer|computers|program)", "automated system"],
    "no": ["don't want", "do not want", "(sick|tired) of", "fed up with", "hate", "stop", "no more", "anything but"],
}  # fmt: skip

#: Said, anywhere in a message, by somebody who wants a person.
PERSON = [
    "{talk} {someone}",
    "(someone|somebody|anyone|anybody|person|human) [that|who] [i] (can|could) [i] (talk|speak|chat) (to|with)",
    "{want} ({a}|) {human}",
    "(need|want|get|like) (someone|somebody|{a} {human}) to (help|call|contact|look|take|handle)",
    "(have|let|ask|can|could|get) (someone|somebody|{a} {human}|{a} colleague) [please] [to] "
    "(call me|phone me|ring me|contact me|take over)",
    "(prefer|rather|like|want|need) (talking|speaking|chatting) (to|with) {someone}",
    "(prefer|rather have|rather|instead) ({a}|) {human}",
    "is there ({a}|) {human} [there|here|available|around|online|i can]",
    "are there [any|real] {humans} [there|here|available|around|online|i can]",
    "(human|person|agent|representative|operator|customer service) (please|now)",
    "{no} [to] (talk|talking|speak|speaking|chat|chatting) (to|with) ({a}|these|this|) {machine}",
    "{no} ({a}|these|this|) {bot}",
    "(please|can you|could you) [please] (call|phone|ring) me",
    "give me a (call|ring)",
    "(connect|put) me through",
    "(reach|contact) (a|an|another) [{a}] {human}",
    "escalate (this|it|my)",
]  # fmt: skip

#: The same, where they are all that is said.
PERSON_ALONE = [
    "[{a}] {human}", "{humans}", "live chat", "someone real", "escalate", "(not|no) ({a}|) {machine}",
    "[{a}] colleague", "call me",
]  # fmt: skip

#: Right before such a phrase, these turn it round.
NOT_WANTED = [
    "(don't|do not|didn't|did not|not|never|don't really) (want|need|have|like|wish|asked|ask) [to]",
    "(no|any) need to", "without [having to]", "rather not", "instead of", "don't", "do not", "never",
]  # fmt: skip

GREETING = [
    "(hi|hello|hey|hiya|howdy|yo|hullo|hallo|greetings|sup|morning|afternoon|evening)",
    "good (day|morning|afternoon|evening)", "how (are you|is it going) [doing] [today]", "how's it going", "what's up",
    "nice to meet you", "[is] (anyone|anybody|someone|somebody) (there|here)", "are you there", "(test|testing)",
    "[i] [need] (help|support|assistance)", "(can|could) you help [me]",
    "i have (a|another|one|some) (question|questions|problem)",
]  # fmt: skip
THANKS = [
    "(thank you|thanks|thankyou|thank u|thx|thanx|ty|cheers)", "much appreciated", "(i|we) appreciate (it|that)",
    "(that|this|it) [really] (helps|helped|worked|works|solved it)", "(that|this|it) (is|was) [very|really] helpful",
    "(you|you have|you've) helped me", "(you are|you're|that's|that is) (great|very kind|very helpful|helpful|perfect)",
]  # fmt: skip
FAREWELL = [
    "(bye|bye bye|goodbye|good bye|good night|farewell|cya)", "see (you|ya) [later|soon]", "take care",
    "have a (nice|good|great|lovely) (day|evening|weekend|one|night)", "(that's|that is|that will be) (all|it)",
    "nothing (else|more)",
]  # fmt: skip
IDENTITY = [
    "are you [really|just|actually] ({a}|) ({machine}|{human})", "are you real",
    "am i (talking|speaking|chatting) (to|with) ({a}|) ({machine}|{human})", "is this ({a}|) ({machine}|{human})",
    "(who|what) are you", "what can you do", "how can you help [me]",
]  # fmt: skip
YES = [
    "(yes|yeah|yep|yup|sure|ok|okay|alright|all right|certainly|absolutely|definitely|please|of course)", "please do",
    "go ahead", "do (it|that)", "(i would|i'd) like that", "that would be (great|good|nice|lovely)", "sounds good",
]  # fmt: skip
NO = ["(no|nope|nah)", "not (now|really|necessary|needed)", "(never mind|nevermind)", "no need", "i'm (fine|good|ok)"]

#: What may stand around any of these without changing it.
FILLERS = [
    "(there|all|everyone|everybody|team|folks|guys|sir|madam|mate|friend|dear|you|again|please|today|now|then|too)",
    "(so much|very much|a lot|a bunch|a million|to you|many|much)", "(ok|okay|great|perfect|cool|awesome|good)",
    "(excellent|wonderful|fantastic|brilliant|amazing|nice|lovely|got it|i see|well|right|alright)",
    "(oh|ah|um|and|very|really|just)",
    "for (your|the|all your|all the|your quick) (help|time|information|info|answer|reply|support)",
    "for (that|this|helping [me]|everything|letting me know)",
]  # fmt: skip

#: How a question begins that goes on with the one before.
FOLLOW_UP = [
    "and", "or", "but", "also", "what about", "how about", "same for", "what if", "even", "only", "then",
    "on", "in", "for", "from", "to", "with", "without", "at", "by", "until", "during",
]  # fmt: skip
#: Words that point back at what was said before.
POINTERS = {"it", "its", "that", "this", "they", "them", "their", "those", "these"}

#: What is said to small talk.
SAY = {
    "greeting": "Hello! What can I help you with?",
    "thanks": "You're welcome! I am here if anything else comes up.",
    "farewell": "Thank you for stopping by. Goodbye!",
    "identity": "I am an automated assistant and answer from our help articles. You can ask for a person at any time.",
    "no": "All right. I am here if anything else comes up.",
}
SAY_PERSON = "Of course. A person will take over from here and read what you have written so far."
SAY_OFFER = "Would you like a person to take over?"
SAY_UNKNOWN = f"I am sorry, I do not know: I found nothing about that in our help articles. {SAY_OFFER}"
SAY_SOURCE = "From our article “{title}”."
