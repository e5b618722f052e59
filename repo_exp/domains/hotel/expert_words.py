"""What a good agent says: a grammar per dialogue act. One start symbol an act; two tickets have their own words.

Facts that a text may use: hotel, city, room, now (selling price with currency), ask, offer, source, rival (its
price), commission, trouble (what the hotel complains of). Rules called ``reason_*`` give a reason, ``soothe*`` soothe.
"""

from __future__ import annotations

from repo_exp.domains.hotel.grammar import Rules

# fmt: off
# Lists of phrases, several to a line.

_SHARED: dict[str, list[str]] = {
    "hello": [
        "Hello, this is your booking partner.", "Good morning from your booking platform.", "Hi, {hotel} team.",
        "Hello, I look after {hotel} on our platform.", "Good afternoon, {hotel}.",
        "Hi there, your account manager here.", "Hello, I'm writing about your price.",
        "Good day, a quick word about your price.", "Hi, a short question about your rate.",
        "Hello, is this the sales desk of {hotel}?",
    ],
    "reason_evidence": [
        "{source} lists it at {rival}", "{source} shows {rival} for it", "it is {rival} on {source}",
        "guests see {rival} on {source}", "{source} sells it for {rival}", "on {source} it goes for {rival}",
        "{source} has it at {rival}, we show {now}", "we show {now}, {source} only {rival}",
        "at {now} we look dear beside {rival} on {source}", "the same room is {rival} on {source}",
    ],
    "reason_visibility": [
        "a keener price usually lifts you in our search", "hotels priced near the market tend to be seen more",
        "a closer price helps you show up higher", "a lower price should bring you more views",
        "your listing would stand out more in {city}", "a fair gap to the others helps your ranking",
    ],
    "reason_demand": [
        "guests in {city} compare before they book", "travellers often leave when they find it cheaper",
        "many guests pick the lowest price they see", "guests compare and then book the cheaper one",
        "people look at several sites before they choose", "the gap makes guests hesitate",
    ],
    "reason_any": ["{reason_evidence}", "{reason_evidence}", "{reason_visibility}", "{reason_demand}"],
    "please": ["", "", "please", "if you can"],
    "thanks": ["Thank you", "Thanks a lot", "Many thanks", "Thanks", "That's kind, thank you", "I appreciate it"],
    "thanks_for": ["Thank you", "Thanks a lot", "Many thanks", "Thanks", "Thank you very much"],
    "soothe_general": [
        "I'm sorry about {trouble}.", "I understand, {trouble} must be frustrating.", "I hear you on {trouble}.",
        "You're right to be upset about {trouble}.", "Sorry for {trouble}, that is a real burden.",
        "I see why {trouble} would annoy you, and I'm sorry.", "That sounds hard, I'm sorry about {trouble}.",
        "I do understand how tiring {trouble} can be.", "Thank you for being open about {trouble}, I'm sorry.",
    ],
    "soothe_aside": [
        "I'll pass it on.", "I'll note it for our team.", "", "", "", "It will not be forgotten on my side.",
        "I'll raise it with a colleague.",
    ],
}

_ONE: dict[str, list[str]] = _SHARED | {
    "ask_q": [
        "Could you do {ask}?", "Would {ask} work for you?", "Could we bring it to {ask}?",
        "Could you come down to {ask}?", "Would you consider {ask}?", "Is {ask} possible?", "How about {ask}?",
        "Could you lower it to {ask}?", "Can we set the selling price at {ask}?",
        "Would a selling price of {ask} be all right?", "Might {ask} be possible?", "Could we try {ask}?",
    ],
    "open": [
        "{hello} {reason_first}. {ask_q}", "{hello} {ask_room} {reason_any}.", "{hello} {reason_first}. {ask_q}",
        "{hello} {reason_first}, and {reason_demand}. {ask_q}",
    ],
    "reason_first": [
        "{source} lists your {room} at {rival}", "your {room} is {rival} on {source}",
        "on {source} your {room} goes for {rival}", "guests see your {room} at {rival} on {source}",
        "{source} shows {rival} for your {room}, we show {now}",
        "your {room} is {now} with us but {rival} on {source}", "{source} sells your {room} for {rival}",
    ],
    "ask_room": [
        "Could you do {ask} for the {room}?", "Would {ask} work for the {room}?",
        "Could the {room} come down to {ask}?", "Is {ask} possible for the {room}?",
        "Could we sell the {room} at {ask}?", "May we show the {room} at {ask}?",
        "Would you let the {room} go for {ask}?",
    ],
    "who": [
        "I'm your contact at the booking platform", "I'm from the booking platform that lists you",
        "I'm with the platform that sells your rooms", "your booking partner here",
        "I look after your listing with us", "I'm calling for the platform you work with",
    ],
    "give_reason": [
        "{who}. {reason_first}. {ask_q}", "{who}: {reason_first}, so I'd like to ask for {ask}.",
        "{who}. It's about the {room}: {reason_evidence}. {ask_q}",
        "Of course: {reason_first}, and {reason_demand}. {ask_q}",
    ],
    "quote": [
        "We'd like {ask} as the selling price; {reason_any}.",
        "{ask}, that is the selling price guests see; {reason_any}.",
        "A selling price of {ask} would help, as {reason_any}.",
        "Would {ask} be fine as the selling price? {reason_any}.",
        "I was thinking of {ask} selling price instead of {now}; {reason_any}.",
        "{ask} for the {room}, {commission} commission as now. {reason_any}.",
        "From {now} to {ask}, if that suits you. {reason_any}.",
    ],
    "clarify": [
        "{ask} is {what_guests_pay}; {net_follows}. {ask_ok}",
        "That is {what_guests_pay}, not your net: {net_follows}. {ask_ok}",
        "Good question: {ask} is {what_guests_pay}, and {net_follows}. {ask_ok}",
        "I mean {what_guests_pay}. {net_follows}. {ask_ok2}",
    ],
    "what_guests_pay": [
        "the selling price", "what guests pay", "the selling price guests see", "the price on the page",
    ],
    "net_follows": [
        "you receive it less {commission} commission", "your net is that less {commission}",
        "the {commission} commission comes off that", "we keep {commission} of it as now",
        "commission stays at {commission}",
    ],
    "ask_ok": ["Is that all right?", "Would that work?", "Does it suit you?", "Can we do that?", "Shall we try it?"],
    "ask_ok2": ["Would {ask} work?", "Is {ask} all right?", "Does {ask} suit you?"],
    "see": ["I see your point", "That's fair", "I understand", "Understood", "I follow you", "I get that",
            "Thanks for being frank", "Fair enough"],
    "but": [", but {reason_any}.", "; still, {reason_any}.", ". Yet {reason_any}.", ". The thing is, {reason_any}."],
    "persuade": ["{see}{but} {ask_q}", "{see}{but} {ask_q}", "{see}. {ask_q} {reason_any}."],
    "soothe": ["{soothe_general} {soothe_aside} {ask_q}", "{soothe_general} {reason_any}. {ask_q}",
               "{soothe_general} {reason_any}, so {ask_soft}"],
    "ask_soft": ["might {ask} help us both?", "could we still try {ask}?", "would {ask} be an option?",
                 "could {ask} work all the same?"],
    "counter": [
        "{thanks_for} for {offer}. {reason_any}, so {ask_soft2}", "{thanks}, {offer} is a step. {reason_any}. {ask_q}",
        "{thanks}, we're closer. {reason_any}; {ask_soft2}", "{offer} helps, thank you. {reason_any}. {ask_q}",
    ],
    "ask_soft2": ["could you go to {ask}?", "would {ask} still work?", "could we meet at {ask}?",
                  "is {ask} within reach?", "might you manage {ask}?"],
    "accept": [
        "{thanks}, {offer} {is_fine}. {note}", "{agreed}: {offer} selling price. {note}",
        "{offer} {is_fine}, {thank_end}. {note}", "{thanks}. {we_set} {offer}. {note}",
    ],
    "agreed": ["Agreed", "Done", "Deal", "Perfect", "Wonderful", "Great"],
    "is_fine": ["works for us", "is agreed", "is fine with us", "suits us well", "is a deal", "it is"],
    "thank_end": ["thank you", "thanks a lot", "many thanks", "and thank you"],
    "we_set": ["We'll set the selling price to", "I'll put in a selling price of", "I'll list the {room} at",
               "We take", "The {room} goes online at"],
    "note": ["Commission stays at {commission}.", "Your net is that less {commission}.",
             "The {commission} commission is unchanged.", "You receive it less {commission}.",
             "Commission is {commission} as before.", ""],
    "confirm": [
        "{agreed}, so {offer} {kind_of} and {commission} commission. {right_q}",
        "{thanks}. to confirm: {offer} {kind_of}, your net is that less {commission}. {right_q}",
        "{thanks}, I note {offer} {kind_of}, commission {commission} as before. {right_q}",
        "{agreed}. Just to be sure: guests pay {offer}, you receive it less {commission}. {right_q}",
    ],
    "kind_of": ["selling price", "as the selling price", "for guests", "on the page"],
    "right_q": ["Is that right?", "Correct?", "Do I have that right?", "Right?", "Is that what you meant?"],
    "pin_down": [
        "{no_hurry}. {yes_q}", "{thanks}. {yes_q} {no_hurry2}", "{yes_q} {no_hurry2}", "{thanks}, {no_hurry}. {yes_q}",
    ],
    "no_hurry": ["take your time", "no hurry at all", "of course, think it over", "I don't want to guess",
                 "I'd rather not assume anything"],
    "no_hurry2": ["I won't change anything before.", "Nothing changes until you say so.", "I'd rather ask than guess.",
                  "I'll wait for your word."],
    "yes_q": ["Is that a yes to {ask}?", "Do you agree to {ask}?", "May I have a clear yes or no to {ask}?",
              "Would {ask} be all right, yes or no?", "Do you mean yes to {ask}?"],
    "follow_up": [
        "{still_there} {ask_gentle}", "{still_there} {nothing_changes}", "{nudge}, {ask_gentle2}",
        "{nudge}: {reason_any}. {ask_gentle}",
    ],
    "still_there": ["Hello again, just checking in.", "Did my last message reach you?", "I know you're busy.",
                    "Just a friendly reminder.", "No rush at all.", "Hope the day is going well."],
    "ask_gentle": ["Have you had a chance to look at {ask}?", "What do you think of {ask}?", "Any thoughts on {ask}?",
                   "Could you let me know about {ask}?", "Shall we talk about {ask}?"],
    "ask_gentle2": ["any thoughts on {ask}?", "what do you think of {ask}?", "did you see my question about {ask}?",
                    "would {ask} be possible?"],
    "nothing_changes": ["I'll leave the price at {now} until I hear from you.", "Until you answer, it stays at {now}.",
                        "Nothing changes before I have your answer."],
    "nudge": ["About the {room}", "Coming back to the {room}", "A small reminder about the {room}",
              "Once more on the {room}", "On the {room}"],
    "off_topic": ["{aside} {back}: {reason_any}. {ask_q}", "{aside} {back}, {ask_gentle2}",
                  "{aside} {back}, {ask_soft}"],
    "aside": ["That's beyond me, I'm afraid.", "I can't help with that one, sorry.", "I don't know that, sorry.",
              "I'd rather not guess at that.", "Ha, I wish I knew.", "Sorry, I have no news on that.",
              "Good question, but not one I can answer.", "I'll leave that to someone who knows."],
    "back": ["Back to the {room}", "About the {room}", "As for the {room}", "On the {room}", "To return to the price"],
    "close_success": ["{thanks}! {done} {bye}", "{done} {thanks}! {bye}", "{thanks_for} for your help. {done} {bye}",
                      "{wonderful} {done} {bye}"],
    "wonderful": ["Wonderful.", "Great.", "Perfect.", "Lovely."],
    "done": ["The new price goes online today.", "I'll update the {room} now.", "I'll change the listing now.",
             "We'll show the new price shortly.", "That settles the {room}.", "I'll put it in right away."],
    "bye": ["Have a good day!", "All the best.", "Good bye!", "Wishing you a good week.", "Speak soon.", ""],
    "close_fail": ["{respect} {thanks_for} for your time. {bye}", "{respect} {stays} {bye}",
                   "{thanks_for} for being clear. {stays} {bye}", "{respect} {door} {bye}"],
    "respect": ["I respect that.", "Understood, I won't press.", "That's your call, of course.",
                "All right, I'll leave it there.", "I understand, no hard feelings.", "No problem at all."],
    "stays": ["The price stays at {now}.", "We leave it at {now}.", "Nothing changes on your page."],
    "door": ["If things change, write to me.", "Should you think again, I'm here.", "My door stays open."],
}

# Two tickets: {ask}, {offer} and {now} name both rooms ("96 EUR for the twin room and 120 for the suite").
# The agent is not told the commission then, so it names no figure.
_TWO: dict[str, list[str]] = _ONE | {
    "hello": ["Hello, this is your booking partner.", "Good morning from your booking platform.", "Hi, {hotel} team.",
              "Good afternoon, {hotel}.", "Hi there, a word about two rooms.", "Hello, it's about two of your rooms.",
              "Hello, is this {hotel}?"],
    "reason_evidence": ["{source} shows {rival} for the {room}", "the {room} is {rival} on {source}",
                        "guests see the {room} at {rival} on {source}", "{source} lists the {room} at {rival}",
                        "{source} has the {room} at {rival}"],
    "ask_q": ["Could you do {ask}?", "Would {ask} work?", "Would you consider {ask}?", "Might {ask} be possible?",
              "How about {ask}?", "Could we say {ask}?", "Might we try {ask}?"],
    "ask_room": ["Could you do {ask}?", "Would {ask} work?", "Could we sell at {ask}?", "May we show {ask}?"],
    "open": ["{hello} {reason_first}. {ask_q}", "{hello} {ask_room} {reason_any}."],
    "reason_first": ["{source} lists the {room} at {rival}", "the {room} is {rival} on {source}",
                     "{source} has the {room} at {rival}"],
    "give_reason": ["{who}. {reason_first}. {ask_q}", "Of course: {reason_first}. {ask_q}",
                    "{who}. {reason_demand}. {ask_q}"],
    "quote": ["We'd like {ask}, as selling prices; {reason_any}.", "Selling prices of {ask}; {reason_any}.",
              "{ask}, that is what guests pay; {reason_any}."],
    "clarify": ["{ask}, that is {what_guests_pay}; {net_follows}.", "I mean {what_guests_pay}, {ask}; {net_follows}.",
                "Guests would pay {ask}; {net_follows}. {ask_ok}", "{ask}, as {what_guests_pay}. {net_follows}."],
    "what_guests_pay": ["what guests pay", "what guests see", "the prices on the page", "what the page shows"],
    "net_follows": ["you receive that less commission", "your net is that less commission",
                    "commission comes off that as now", "commission stays as it is"],
    "soothe": ["{soothe_general} {ask_q}", "{soothe_general} {reason_demand}, so {ask_soft}"],
    "counter": ["{thanks}, that is a step. {reason_any}. {ask_q}", "{thanks}, we're closer. {reason_any}; {ask_soft2}"],
    "split": ["{thanks}, {good_offer} is agreed. {reason_any}; {ask_soft2}",
              "{good_offer} is fine, thank you. {reason_any}. {ask_q_open}",
              "{agreed}, {good_offer}. {reason_any}; {ask_soft2}"],
    "ask_q_open": ["Could you do {ask}?", "Would {ask} work too?", "Is {ask} possible?", "How about {ask}?"],
    "accept": ["{agreed}: {offer}. {note}", "{thanks}, {offer} it is. {note}", "{offer}, agreed, {thank_end}. {note}"],
    "confirm": ["{agreed}, so guests pay {offer}. {right_q}",
                "{thanks}, I note {offer}, commission as before. {right_q}",
                "{agreed}. Selling prices are {offer}. {right_q}"],
    "note": ["Commission stays as it is.", "", "Your net is that less commission."],
    "follow_up": ["{still_there} {ask_gentle}", "{nudge}, {ask_gentle2}", "{nudge}: {ask_gentle2}"],
    "nudge": ["About the two rooms", "Coming back to both rooms", "A small reminder about both rooms",
              "Once more on the two rooms"],
    "nothing_changes": ["Nothing changes before I have your answer."],
    "back": ["Back to the rooms", "About the two rooms", "As for the rooms", "On the prices"],
    "done": ["Both new prices go online today.", "I'll update both rooms now.", "We'll show both new prices shortly.",
             "That settles both rooms."],
    "stays": ["Both prices stay as they are.", "Nothing changes on your page."],
}

ONE_TICKET: Rules = _ONE
TWO_TICKETS: Rules = _TWO
