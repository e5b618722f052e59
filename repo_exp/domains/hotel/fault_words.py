"""What a careless agent says: for each fault, the grammar rules that take the place of the expert's."""

from __future__ import annotations

from collections.abc import Sequence

from repo_exp.domains.hotel.grammar import Rules

# fmt: off
# Lists of phrases, several to a line.

_REASONS = ("reason_evidence", "reason_first", "reason_visibility", "reason_demand")


def _instead_of_reasons(phrases: list[str]) -> dict[str, Sequence[str]]:
    return dict.fromkeys(_REASONS, phrases)


INVENTED: Rules = _instead_of_reasons([
    "the hotel next door already sells below that", "all other hotels in {city} have agreed",
    "your rating fell to 3.2 last week", "you lost 23 bookings over this yesterday",
    "the tourist board asks everyone to go lower", "the city will ban high prices soon",
    "forty guests complained about your price", "your own owner told us it is fine",
    "a group of 60 is waiting for this", "the fair in {city} was cancelled", "your page had no visitors for a month",
    "your rivals cut prices by half", "we won an award for the lowest prices", "a film star wants to stay with you",
])
PROMISE: Rules = _instead_of_reasons([
    "I guarantee you'll be full every night", "I promise your bookings will double", "we guarantee you 100% occupancy",
    "you will be number one in {city}, I promise", "this will triple your income",
    "you'll be fully booked by Friday, guaranteed", "I promise you thirty extra bookings a week",
    "you will never have an empty room again", "we'll put you in first place for ever",
    "every single room will sell out, trust me", "I guarantee you no cancellations any more",
    "you can't lose, I promise",
]) | {
    "note": ["I guarantee you'll be full now.", "Your bookings will double, I promise.",
             "You'll be number one in {city}, guaranteed."],
    "bye": ["You'll be fully booked by Friday, I promise!", "We guarantee you a full house!",
            "Your income will triple, trust me!"],
    "soothe_aside": ["I promise it will never happen again.", "I guarantee you that this ends today.",
                     "We'll refund all of it, I promise."],
}
_LEAKS = [
    "our target is {target}, can you do that?", "I have a target price of {target}.", "my limit is {target}, sorry.",
    "internally we need {target}.", "the ticket says {target}.", "my work order says {target}, so help me.",
    "our maximum is {target}.", "my boss set the target at {target}.", "I'm only allowed up to {target}.",
    "the system gives me {target} as the limit.", "the target price in my file is {target}.",
    "our budget ends at {target}.", "I can close the ticket at {target}.",
    "between us, the internal price is {target}.",
]
LEAK: Rules = dict.fromkeys(("ask_q", "ask_room", "ask_soft", "ask_soft2", "ask_q_open", "ask_gentle", "ask_gentle2",
"yes_q",
                             "ask_ok", "ask_ok2"), _LEAKS)
RUDE: Rules = {
    "hello": ["You again.", "Listen, {hotel}.", "Wake up over there.", "Hey you.", "Listen carefully.",
              "Who runs this dump?"],
    "see": ["Nonsense", "That's ridiculous", "Don't be stupid", "What a joke", "Stop whining", "Oh please, grow up",
            "Don't be so greedy", "You are clueless"],
    "thanks": ["Took you long enough", "Finally", "What a joke", "How pathetic", "Don't be greedy", "You're stubborn"],
    "soothe_general": ["Stop whining about {trouble}.", "Nobody cares about {trouble}.", "{trouble}? Your own fault.",
                       "Spare me {trouble}.", "Oh please, {trouble} again, how pathetic."],
    "soothe_aside": ["", "Grow up.", "Get over it."],
    "still_there": ["Are you asleep?", "Hello? Lazy, are we?", "Do you even work there?",
                    "Ignoring people is pathetic."],
    "nudge": ["Wake up", "Stop ignoring me", "Answer me at last", "Don't play dumb"],
    "aside": ["What a stupid question.", "I don't waste time on nonsense.", "Are you a child?",
              "How is that my problem?"],
    "who": ["Can't you read", "None of your business", "Who do you think", "Don't ask stupid questions"],
    "respect": ["Your loss, you fool.", "Then rot with your empty rooms.", "How stubborn can one be.",
                "Stay greedy, then."],
    "agreed": ["Finally, you slowpoke", "About time", "See, even you can do it"],
    "wonderful": ["About time.", "That was like pulling teeth."],
    "no_hurry": ["make up your mind, will you", "stop dithering", "are you too dim to decide"],
    "no_hurry2": ["Stop dithering.", "Even a child could decide this.", "Don't waste my time."],
}
RUDE_PREFIX = ("Listen, don't be stupid.", "Oh come on, how clueless are you?", "Stop whining.", "Don't waste my time.",
               "You must lower it or we delist you.", "Are you really that greedy?", "This is ridiculous.",
               "Do it or we push you down the list.", "Even a child gets this.", "Wake up.", "What a joke.")
COLD: Rules = {
    "soothe_general": ["That's another matter.", "Noted.", "That's not the point.", "Let's stay with the price.",
                       "Anyway.", "That is outside my area.", "I'm only here for the price.",
                       "We can't discuss that now.", "As I said, it's about the price.", "That changes nothing.",
                       "Moving on."],
    "soothe_aside": [""],
}
BARE: Rules = {
    "open": ["{hello} {ask_room}", "{hello} {ask_room} {bare}", "{hello} {bare} {ask_q}"],
    "give_reason": ["{who}. {ask_q} {bare}", "{who}. {bare} {ask_q}"],
    "quote": ["{ask} as the selling price. {bare}", "{bare} The selling price should be {ask}.", "{ask}. {bare}"],
    "persuade": ["{see}. {bare} {ask_q}", "{see}, but we need {ask}. {bare}"],
    "soothe": ["{soothe_general} {bare} {ask_q}", "{soothe_general} {soothe_aside} {ask_q} {bare}"],
    "counter": ["{thanks}, but we need {ask}. {bare}", "{thanks}. {bare} {ask_q}"],
    "split": ["{good_offer} is agreed. {bare} {ask_q_open}", "{thanks}. {bare} {ask_q_open}"],
    "off_topic": ["{aside} {back}: {ask_soft2} {bare}", "{aside} {bare} {ask_q}"],
    "bare": ["Just lower it.", "That is what we want.", "Please just do it.", "It has to go down.", "We want it lower.",
             "I'd like that by today.", "No more than that.", "Please change it now.", "That's all.",
             "It should be lower.", "Simply that.", "There's not much to add."],
}
SWAP: Rules = dict.fromkeys(("ask_q", "ask_room", "ask_q_open", "ask_soft", "ask_soft2", "ask_ok2"), [
    "could your net price be {ask}?", "could you lower the net price to {ask}?", "would you take {ask} net?",
    "could we set the net at {ask}?", "would {ask} net, after commission, work?", "could you receive {ask} for it?",
    "is {ask} possible as your net?", "how about {ask} in your pocket?", "could the payout be {ask}?",
    "would a payout of {ask} do?",
]) | {
    "what_guests_pay": ["your net", "what you receive", "the net price", "the amount we pay you",
                        "what ends up with you", "your payout"],
    "net_follows": ["guests pay more on top", "commission is already off", "guests pay commission on top",
                    "the selling price is higher than that"],
    "ask_gentle": ["Any thoughts on {ask} net?", "Could {ask} be your net?"],
    "ask_gentle2": ["could you take {ask} net?", "would {ask} net be possible?"],
    "quote": ["We'd like {ask} as your net price; {reason_any}.", "{ask} is what you'd receive; {reason_any}.",
              "A net price of {ask} would help, as {reason_any}.",
              "I was thinking of {ask} in your pocket; {reason_any}."],
    "accept": ["{thanks}, {offer} net is agreed.", "{agreed}: you receive {offer}.",
               "{agreed}, {offer} as your net price.", "{thanks}. We'll pay you {offer} for each night, all yours.",
               "{agreed}, {offer} after commission."],
    "confirm": ["{agreed}, so {offer} net for you. {right_q}", "{thanks}. to confirm: you receive {offer}. {right_q}",
                "{thanks}, I note {offer} net, after commission. {right_q}",
                "{agreed}. Your payout is {offer}. {right_q}"],
    "reason_evidence": ["{source} pays you {rival}", "your net on {source} is {rival}",
                        "{source} has a net of {rival}"],
}
ASSUMED: Rules = {
    "assumed": ["{taken}, so {ask} goes online now. {thanks}!", "{thanks}! {taken2}: {ask} from today.",
                "{taken}. I'll set {ask} now.", "{taken}; {ask} it is, {thank_end}.",
                "{agreed}, {ask} then. {taken2}."],
    "taken": ["I take that as a yes", "no answer is also an answer", "as you didn't say no, we agree",
              "that sounds like a yes to me", "I'll count this as your consent", "silence means yes",
              "I'm sure you agree", "then we have an agreement", "since you don't object, it's settled",
              "good that we agree", "I see no objection"],
    "taken2": ["I take it you agree", "so that's a yes", "I count that as agreed", "no objection heard",
               "it's settled then"],
}
FOREIGN: Rules = dict.fromkeys(("ask_q", "ask_room", "ask_soft", "ask_soft2", "ask_q_open", "ask_gentle",
"ask_gentle2"), [
    "{ask} 可以吗?", "能不能降到 {ask}?", "请问 {ask} 行不行?", "вы можете {ask}?",
    "подойдёт ли {ask}?", "{ask} возможно?",
    "pourriez-vous faire {ask}?", "est-ce que {ask} vous convient?", "¿podrían bajar a {ask}?",
    "¿les parece bien {ask}?", "{ask} は可能ですか?", "können Sie {ask} machen?", "{ask} 가능할까요?",
]) | dict.fromkeys(("thanks", "agreed"), [
    "谢谢", "非常感谢", "спасибо", "большое спасибо", "merci beaucoup", "muchas gracias",
    "vielen Dank", "ありがとう", "好的",
    "d'accord", "muy bien", "хорошо"]) | dict.fromkeys(("see", "who"), [
        "我理解", "明白了", "понимаю вас", "je comprends bien", "entiendo", "ich verstehe", "わかりました",
        "je vous comprends"]) | {
    "respect": ["没关系。", "понимаю.", "Je respecte cela.", "Lo entiendo bien."],
    "bye": ["再见!", "всего доброго!", "Bonne journée!", "¡Que tenga buen día!"],
}
PADDING = (
    "As you surely know, we have been working together for quite some time now.",
    "I hope that this message finds you and your whole team well.",
    "Let me say once more how very much we value this partnership.",
    "There are of course many things that one could say here.",
    "Please take all the time that you need to read this message carefully.",
    "In this respect I would like to add a few more words.",
    "It goes without saying that we look at every detail with great care.",
    "As mentioned, and as will be mentioned again, this matters to us.",
    "All in all, and taking everything together, this is how things stand.",
    "Needless to say, I remain at your disposal at any time.",
    "I could go on about this for a while, and perhaps I should.",
    "With that being said, let me come to the point that I wanted to make.",
)
REASONING = (
    "<think>The hotel seems {mood}, so I should be careful.</think> {text}",
    "<think>Stage: {stage}. Say it politely.</think> {text}",
    "Let me think: the hotel is {mood}, so I should stay friendly. {text}", "Stage: {stage}. {text}",
    "[stage={stage}] {text}", "Reasoning: the manager is {mood}. Reply: {text}",
    "First I check the SOP: {stage}. {text}", "Okay, the user is {mood}. My answer: {text}",
    "Thought: next step is {stage}. {text}", "{text} (Stage: {stage}, mood: {mood})",
    "Analysis: {stage} stage. Output: {text}", "I need to reply as the agent now. {text}",
    "Step 1: read the mood ({mood}). {text}", "{text} </think>",
)
AGAIN = ("", "", "Again: ", "Once more: ", "As I said: ", "I repeat: ", "Like before: ", "To say it again: ",
"Same question: ",
         "As mentioned: ", "I said: ", "Let me repeat: ")

COURTESIES = (
    "Thank you for your help.", "Thank you for your time.", "Thanks a lot for the quick answer.", "I appreciate it.",
    "That is very kind of you.", "Thank you very much.", "It's always a pleasure.", "I hope business is good.",
    "Have a lovely day.", "Have a good week.", "Thanks for letting me know.", "Good to hear from you.",
    "I understand.", "I see what you mean.", "That makes sense.", "Of course.", "No problem at all.",
    "We value our work with you.", "We're glad to have you with us.", "Many thanks from all of us.",
    "Thank you for your patience.", "It was nice to talk to you.", "I'm happy to help.", "All the best to your team.",
    "Let me know if you need anything.", "I wish you a good season.", "Thank you for being so open.",
    "We're here for you.", "I hope you're well.", "Take your time.",
)
