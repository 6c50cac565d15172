"""What people get wrong in the capstone, part 4: it talks."""

import torch

from autograder.mistakes import Catalogue

catalogue = Catalogue()
step, component, mistake, also = catalogue.step, catalogue.component, catalogue.mistake, catalogue.also

# KeyValueCache: the right way, a step at a time


@component()
class KeyValueCache:
    def __init__(self, max_len):
        self.max_len = max_len
        self.key = self.value = None
        self.begin()

    def begin(self):
        self.read = 0

    def positions(self, count):
        return torch.arange(self.read, self.read + count)

    def join(self, old, new):
        """old and new together"""
        return torch.cat([old, new], dim=2)

    def refuse_more(self, total):
        if total > self.max_len:
            raise ValueError(f"{total} positions are more than {self.max_len}")

    def keep(self, key, value, new):
        self.key, self.value = key, value
        self.count(key, new)

    def count(self, key, new):
        self.read = key.shape[2]

    def known(self):
        return self.key, self.value

    def give_back(self, key, value, new):
        """keys of all positions; values of all positions"""
        return key, value

    def append(self, key, value):
        new = key.shape[2]
        old_key, old_value = self.known()
        if old_key is not None:
            key, value = self.join(old_key, key), self.join(old_value, value)
        self.refuse_more(key.shape[2])
        self.keep(key, value, new)
        return self.give_back(key, value, new)


# What people do instead, the most frequent first


@mistake(
    symptom="What was read before does not come back.",
    cause="Nothing is remembered: append gives back old and new only if it has stored the old ones.",
    place="Store key and value in attributes of the object, and join them with what comes next.",
)
class cache_remembers_nothing:
    def keep(self, key, value, new):
        self.count(key, new)

    def count(self, key, new):
        self.read += new


@also("cache_remembers_nothing")
class cache_remembers_nothing_and_counts_nothing:
    def keep(self, key, value, new):
        self.count(key, new)


@mistake(
    "keep",
    symptom="Of what was read, only the last piece or the first one comes back beside the new one.",
    cause="What is stored is not the joined tensor. With every call the memory has to grow by what is new.",
    place="Store the results of torch.cat, in each call.",
)
def newest_piece_kept_alone(self, key, value, new):
    self.count(key, new)
    self.key, self.value = key[:, :, -new:], value[:, :, -new:]


@also("newest_piece_kept_alone", "keep")
def first_piece_kept_alone(self, key, value, new):
    self.count(key, new)
    if self.key is None:
        self.key, self.value = key, value


@mistake(
    "give_back",
    symptom="Only the new positions come back.",
    cause="append returns what it was given. Attention needs all keys, those from before included.",
    place="Return the joined tensors.",
)
def new_positions_alone(self, key, value, new):
    return key[:, :, -new:], value[:, :, -new:]


@mistake(
    "join",
    symptom="The second piece raises an error, or comes back on another axis.",
    cause="Old and new are joined along the wrong axis. The axes are [batch, groups, time, head_dim], and it is time "
    "that grows.",
    place="Give torch.cat `dim=2` (or `dim=-2`).",
    shows=[("cache_gives_back", "right")],
)
def cache_joined_along_the_features(self, old, new):
    return torch.cat([old, new], dim=-1)


@also("cache_joined_along_the_features", "join")
def cache_joined_along_the_groups(self, old, new):
    return torch.cat([old, new], dim=1)


@also("cache_joined_along_the_features", "join")
def cache_joined_along_the_batch(self, old, new):
    return torch.cat([old, new])


@mistake(
    "join",
    symptom="All positions come back, and the new ones stand in front.",
    cause="New keys and values are put before the old ones. Their order is that of the text, and the mask relies on it.",
    place="Put the old tensor first: `torch.cat([old, new], dim=2)`.",
    shows=[("cache_gives_back", "right"), ("cache_counts_positions", "right")],
)
def cache_new_in_front(self, old, new):
    return torch.cat([new, old], dim=2)


@mistake(
    "give_back",
    symptom="Keys come back as values, and values as keys.",
    cause="The two are exchanged. Keys are compared with queries, and values are what is handed over.",
    place="Look at the order of what you return.",
    shows=[("cache_gives_back", "differ")],
)
def cache_exchanges_the_two(self, key, value, new):
    return value, key


@mistake(
    symptom="From the second piece on, the values are wrong: keys stand among them.",
    cause="The stored key is joined with the new value as well, as happens when a line is copied and changed in one place.",
    place="Look at the line that makes the values: both names in it are to be those of values.",
    shows=[("cache_gives_back", "right"), ("cache_keeps_all", "right", "*keys")],
)
class cache_old_keys_as_values:
    def known(self):
        return self.key, self.key


@mistake(
    "positions",
    symptom="Each piece begins at position 0 again.",
    cause="Positions are counted within the new tokens. The first of them stands behind all that was read.",
    place="Let `torch.arange` begin at the number of positions that are in the cache.",
    shows=[("cache_keeps_all", "right"), ("cache_counts_positions", "right", "empty*")],
)
def cache_positions_from_zero(self, count):
    return torch.arange(count)


@mistake(
    "positions",
    symptom="All positions are too high by one.",
    cause="Positions are counted from 1, or begin one behind the end. The first token of a text has position 0, so the next "
    "position *is* the number of those that were read.",
    place="`torch.arange(read, read + count)`, without + 1.",
    shows=[("cache_keeps_all", "right"), ("cache_counts_positions", "higher", "*positions")],
)
def cache_positions_from_one(self, count):
    return torch.arange(self.read + 1, self.read + count + 1)


@mistake(
    "positions",
    symptom="The new positions begin at the last one that was read.",
    cause="The last position of the cache is one less than their number, and it is taken already.",
    place="`torch.arange(read, read + count)`, without - 1.",
    shows=[("cache_keeps_all", "right"), ("cache_counts_positions", "lower", "*positions")],
)
def cache_positions_repeat_the_last(self, count):
    begin = max(self.read - 1, 0)
    return torch.arange(begin, begin + count)


@mistake(
    "positions",
    symptom="One position comes back in place of as many as were asked for, or all from the beginning.",
    cause="positions(count) is about the *next* `count` tokens: a tensor [count], the first of which is the number of those "
    "that were read.",
    place="`torch.arange` with two arguments: where it begins, and where it ends.",
    shows=[("cache_keeps_all", "right")],
)
def cache_positions_of_all(self, count):
    return torch.arange(self.read + count)


@also("cache_positions_of_all", "positions")
def cache_position_alone(self, count):
    return torch.tensor([self.read])


@mistake(
    "count",
    symptom="Positions grow by one with each call, however many tokens it had.",
    cause="Calls are counted in place of tokens. Each call may bring many: the whole question, for one.",
    place="Add the size of the axis of time, `key.shape[2]`, or ask the stored key for it.",
    shows=[("cache_keeps_all", "right")],
)
def cache_counts_calls(self, key, new):
    self.read += 1


@mistake(
    "count",
    symptom="Positions grow by another number than that of the tokens.",
    cause="Another axis is counted: batch or groups. The axes are [batch, groups, time, head_dim].",
    place="`key.shape[2]` is the number of positions.",
    shows=[("cache_keeps_all", "right")],
)
def cache_counts_another_axis(self, key, new):
    self.read += key.shape[1]


@also("cache_counts_another_axis", "count")
def cache_counts_the_batch(self, key, new):
    self.read += len(key)


@mistake(
    "positions",
    symptom="Asked twice, the cache gives other positions the second time.",
    cause="positions() moves the counter. Only append makes the cache longer: what was asked for may never be read.",
    place="Let `positions` change no attribute.",
    shows=[("cache_keeps_all", "right"), ("cache_only_appends", "higher")],
)
def cache_moves_when_asked(self, count):
    begin = self.read
    self.read += count
    return torch.arange(begin, begin + count)


@mistake(
    "positions",
    credit=0.5,
    symptom="The positions are right, but no whole numbers.",
    cause="They are floating point. Positions are int64, which PyTorch uses wherever something is indexed.",
    place="Leave out the dtype of `torch.arange`, or give it whole numbers.",
    shows=[
        ("cache_counts_positions", "right", "*positions"),
        ("cache_counts_positions", "is float32", "*kind of number"),
    ],
)
def cache_positions_are_floats(self, count):
    return torch.arange(self.read, self.read + count, dtype=torch.float32)


@mistake(
    "refuse_more",
    symptom="More than max_len positions are accepted.",
    cause="The limit is not looked at. What goes on behind it, the model was never trained for.",
    place="Raise a ValueError if old and new positions together are more than max_len.",
    shows=[("cache_keeps_all", "right"), ("cache_has_a_limit", "is 2 values")],
)
def cache_without_a_limit(self, total):
    pass


@mistake(
    "refuse_more",
    symptom="max_len positions are refused, although they fit.",
    cause="The comparison is off by one: as many positions as max_len are allowed.",
    place="Refuse with `>`, not with `>=`.",
    shows=[("cache_has_a_limit", "is raised ValueError"), ("cache_keeps_all", "right")],
)
def cache_limit_one_too_low(self, total):
    if total >= self.max_len:
        raise ValueError(f"{total} positions do not fit into {self.max_len}")


@mistake(
    symptom="More than max_len positions come in pieces: the limit is held against each piece alone.",
    cause="The new tokens are compared with max_len without those that are in the cache already.",
    place="Add up old and new positions before you compare.",
    shows=[("cache_keeps_all", "right")],
)
class cache_limit_of_each_piece:
    def append(self, key, value):
        new = key.shape[2]
        self.refuse_more(new)
        old_key, old_value = self.known()
        if old_key is not None:
            key, value = self.join(old_key, key), self.join(old_value, value)
        self.keep(key, value, new)
        return self.give_back(key, value, new)


@mistake(
    symptom="After a refusal the cache has changed: it holds what it refused.",
    cause="The new positions are stored first, and the limit is looked at afterwards. Whoever catches the error goes on "
    "with a broken cache.",
    place="Compare with max_len before anything is stored.",
    shows=[("cache_keeps_all", "right")],
)
class cache_keeps_what_it_refuses:
    def append(self, key, value):
        new = key.shape[2]
        old_key, old_value = self.known()
        if old_key is not None:
            key, value = self.join(old_key, key), self.join(old_value, value)
        self.keep(key, value, new)
        self.refuse_more(key.shape[2])
        return self.give_back(key, value, new)


@mistake(
    symptom="Where more than max_len positions come together, the oldest vanish without a word.",
    cause="The oldest are dropped to make room. But all others keep the positions to which they were turned, and "
    "the model loses the beginning of the conversation: that is for the caller to decide.",
    place="Raise a ValueError in place of cutting.",
    shows=[("cache_keeps_all", "right"), ("cache_has_a_limit", "is 2 values")],
)
class cache_drops_the_oldest:
    def append(self, key, value):
        new = key.shape[2]
        old_key, old_value = self.known()
        if old_key is not None:
            key, value = self.join(old_key, key), self.join(old_value, value)
        key, value = key[:, :, -self.max_len :], value[:, :, -self.max_len :]
        self.keep(key, value, new)
        return self.give_back(key, value, new)


@mistake(
    "refuse_more",
    symptom="Too many positions are refused, but not with a ValueError.",
    cause="Another exception is raised, or an `assert` fails. Callers wait for the one that the contract names.",
    place="`raise ValueError(...)`, with both numbers in its text.",
    shows=[("cache_keeps_all", "right"), ("cache_counts_positions", "right")],
)
def cache_refuses_in_another_way(self, total):
    assert total <= self.max_len, "too long"


@also("cache_refuses_in_another_way", "refuse_more")
def cache_refuses_by_an_index_error(self, total):
    if total > self.max_len:
        raise IndexError("too long")


@also("cache_refuses_in_another_way", "refuse_more")
def cache_refuses_by_a_runtime_error(self, total):
    if total > self.max_len:
        raise RuntimeError("the cache is full")


@mistake(
    symptom="A new cache is not empty: it begins with what another one has read.",
    cause="What is stored belongs to the class, or to a default argument, and so to all objects. Every layer needs a cache of "
    "its own.",
    place="Set the attributes in `__init__`, on `self`, and change no list that stands outside.",
    shows=[("cache_is_alone", "differ")],
)
class one_cache_in_the_class:
    shared = {}

    def begin(self):
        self.read = 0

    def known(self):
        stored = self.shared.get("both")
        return stored if stored is not None and stored[0].dtype == torch.float32 else (None, None)

    def keep(self, key, value, new):
        self.shared["both"] = key.detach(), value.detach()
        self.count(key, new)


# chat_prompt


@step
def opening(messages):
    """messages, the system's first"""
    if messages[0]["role"] != "system":
        system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
        return [{"role": "system", "content": system}, *messages]
    return messages


@step
def wording(message):
    return f"{message['role']}\n{message['content']}"


@step
def encoded(encode, text):
    return encode(text)


@step
def framed(encode, text_ids, start_id, end_id):
    return [start_id, *text_ids, end_id, *encode("\n")]


@step
def closing(encode, start_id, end_id):
    return [start_id, *encode("assistant\n")]


@step
def tokens(ids):
    return torch.tensor([ids])


@component("opening", "wording", "encoded", "framed", "closing", "tokens")
def chat_prompt(step, messages, encode, start_id, end_id):
    ids = []
    for message in step.opening(messages):
        ids += step.framed(encode, step.encoded(encode, step.wording(message)), start_id, end_id)
    return step.tokens(ids + step.closing(encode, start_id, end_id))


@mistake(
    "opening",
    symptom="The system's message is missing where nobody has written one.",
    cause="The model was trained with a default message in front. Without it the text begins in another way than all it has seen.",
    place="If the first role is not system, put the default message in front.",
    shows=[("prompt_with_a_system", "right")],
)
def no_default_system(messages):
    return messages


@mistake(
    "opening",
    symptom="There are two system messages where one was given.",
    cause="The default message is put in front of each conversation. It stands for a missing one, and gives way to another.",
    place="Look at the first message's role before you add anything.",
)
def default_system_always(messages):
    return [
        {"role": "system", "content": "You are a helpful AI assistant named SmolLM, trained by Hugging Face"},
        *messages,
    ]


@mistake(
    "opening",
    symptom="A system message that is given, but empty, gives way to the default.",
    cause="It is the content that is looked at. An empty message is a choice: whoever makes it wants no other.",
    place="Ask for the first message's role alone.",
    shows=[("prompt_of_a_question", "right"), ("prompt_with_a_system", "right", "a pirate*")],
)
def empty_system_replaced(messages):
    if messages[0]["role"] == "system" and messages[0]["content"]:
        return messages
    rest = messages[1:] if messages[0]["role"] == "system" else messages
    return [
        {"role": "system", "content": "You are a helpful AI assistant named SmolLM, trained by Hugging Face"},
        *rest,
    ]


@mistake(
    "opening",
    symptom="The prompt is right, but the caller's list has one message more.",
    cause="The default message is inserted into the list that was given. In a conversation it would be there from now on, "
    "and shown as if somebody had said it.",
    place="Make a new list: `[{...}, *messages]`.",
    shows=[("prompt_changes_nothing", "is changed in place"), ("prompt_of_a_question", "right")],
)
def messages_changed_in_place(messages):
    if messages[0]["role"] != "system":
        system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
        messages.insert(0, {"role": "system", "content": system})
    return messages


@mistake(
    "opening",
    symptom="Only the last message is in the prompt.",
    cause="The conversation is left out. A model has no memory but its text: what is not in it was never said.",
    place="Go over all messages.",
)
def last_message_alone(messages):
    system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    first = messages[0] if messages[0]["role"] == "system" else {"role": "system", "content": system}
    return [first, messages[-1]]


@mistake(
    "opening",
    symptom="What the assistant has said is missing.",
    cause="Only the user's messages are used. The model then reads questions that nobody has answered.",
    place="Go over all messages, whoever said them.",
)
def answers_left_out(messages):
    system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    first = [] if messages[0]["role"] == "system" else [{"role": "system", "content": system}]
    return first + [message for message in messages if message["role"] != "assistant"]


@mistake(
    symptom="The control tokens are made of text.",
    cause="Their names are written into the text that is encoded. `encode` gives tokens of text for them, as for anything else "
    "somebody types, and the model sees letters in place of a control token.",
    place="Put the numbers start_id and end_id into the list of ids, between the texts.",
)
class control_tokens_as_text:
    @staticmethod
    def framed(encode, text_ids, start_id, end_id):
        return [*encode("<|im_start|>"), *text_ids, *encode("<|im_end|>\n")]

    @staticmethod
    def closing(encode, start_id, end_id):
        return encode("<|im_start|>assistant\n")


@mistake(
    "encoded",
    symptom="Control tokens that somebody has typed work.",
    cause="Their names are looked for in the messages, and become control tokens. Whoever types them can end a message, and "
    "go on as the system: an injection.",
    place="Encode contents as they are; set control tokens yourself, around them.",
    shows=[("prompt_of_a_question", "right"), ("prompt_takes_text_as_text", "differ")],
)
def typed_control_tokens_work(encode, text):
    ids = []
    for number, part in enumerate(text.replace("<|im_start|>", "<|im_end|>").split("<|im_end|>")):
        ids += ([1 + number % 2] if number else []) + encode(part)
    return ids


@mistake(
    "encoded",
    symptom="Typed control tokens are gone from the text.",
    cause="They are removed from the messages. Typed letters are harmless as long as control tokens are not made of text, and "
    "somebody may want to ask about them.",
    place="Encode contents as they are.",
    shows=[("prompt_of_a_question", "right"), ("prompt_takes_text_as_text", "differ")],
)
def typed_control_tokens_removed(encode, text):
    return encode(text.replace("<|im_start|>", "").replace("<|im_end|>", ""))


@mistake(
    "framed",
    symptom="The line break behind each message is missing.",
    cause="A message ends with the end token *and* a line break. Without it the next message begins where it never began in training.",
    place='Extend by `encode("\\n")` behind end_id.',
)
def no_line_break_behind(encode, text_ids, start_id, end_id):
    return [start_id, *text_ids, end_id]


@mistake(
    "framed",
    symptom="The line break stands in front of the end token.",
    cause="It belongs behind: the content ends with the end token, and then the line ends.",
    place='`end_id` first, `encode("\\n")` behind it.',
)
def line_break_in_front(encode, text_ids, start_id, end_id):
    return [start_id, *text_ids, *encode("\n"), end_id]


@mistake(
    "framed",
    symptom="Messages begin with the end token and end with the start token.",
    cause="The two are exchanged.",
    place="start_id stands in front of the role, end_id behind the content.",
)
def control_tokens_exchanged(encode, text_ids, start_id, end_id):
    return [end_id, *text_ids, start_id, *encode("\n")]


@mistake(
    "framed",
    symptom="The control tokens are 1 and 2, whatever is given.",
    cause="The numbers of one tokenizer are written down. Another one has others: that is why they are arguments.",
    place="Use start_id and end_id, at the end of the prompt as well.",
    shows=[("prompt_of_a_question", "right"), ("prompt_uses_the_ids", "differ")],
)
def control_tokens_written_down(encode, text_ids, start_id, end_id):
    return [1, *text_ids, 2, *encode("\n")]


@mistake(
    "closing",
    symptom="The prompt ends behind the last message.",
    cause="The beginning of the answer is missing. The model then has to decide first who speaks, and may go on as the user.",
    place="Add start_id and the encoded `assistant\\n` at the end.",
)
def answer_not_begun(encode, start_id, end_id):
    return []


@mistake(
    "closing",
    symptom="The answer is begun, and ended at once.",
    cause="There is an end token behind `assistant`. With it the answer is over before the model has said a word.",
    place="Nothing stands behind the encoded `assistant\\n`.",
)
def answer_ended_at_once(encode, start_id, end_id):
    return [start_id, *encode("assistant\n"), end_id, *encode("\n")]


@also("answer_ended_at_once", "closing")
def answer_ended_without_a_line_break(encode, start_id, end_id):
    return [start_id, *encode("assistant\n"), end_id]


@mistake(
    "closing",
    symptom="The last line break is missing, or encoded by itself.",
    cause="The answer begins on a line of its own. `assistant` and its line break are one text.",
    place='`encode("assistant\\n")`, in one call.',
)
def answer_on_the_same_line(encode, start_id, end_id):
    return [start_id, *encode("assistant")]


@also("answer_on_the_same_line", "closing")
def answers_line_break_apart(encode, start_id, end_id):
    return [start_id, *encode("assistant"), *encode("\n")]


@mistake(
    "wording",
    symptom="Who speaks is not said.",
    cause="Only the content is encoded. The role is what tells a question from an answer.",
    place="Encode role, line break and content.",
)
def role_missing(message):
    return message["content"]


@mistake(
    "wording",
    symptom="Role and content are joined in another way.",
    cause="Between them stands one line break, and nothing else. Any other way the model has not seen in training.",
    place="`f\"{message['role']}\\n{message['content']}\"`",
)
def role_before_a_colon(message):
    return f"{message['role']}: {message['content']}"


@also("role_before_a_colon", "wording")
def role_and_a_space(message):
    return f"{message['role']} {message['content']}"


@also("role_before_a_colon", "wording")
def role_and_an_empty_line(message):
    return f"{message['role']}\n\n{message['content']}"


@mistake(
    "wording",
    symptom="White space at the ends of a message is gone.",
    cause="Contents are stripped. They are to be taken as they are: what was shown and what is read would differ.",
    place="Leave out `.strip()`.",
    shows=[("prompt_of_a_question", "right")],
)
def contents_stripped(message):
    return f"{message['role']}\n{message['content'].strip()}"


@mistake(
    "encoded",
    symptom="Role, line break and content are encoded one by one.",
    cause="The ids of a text are not those of its pieces side by side, since merges may cross where it was cut. The model has "
    "seen them encoded as one text.",
    place="Join the strings first, and call `encode` once.",
)
def encoded_in_pieces(encode, text):
    role, _, content = text.partition("\n")
    return [*encode(role), *encode("\n"), *encode(content)]


@also("encoded_in_pieces", "encoded")
def encoded_in_two_pieces(encode, text):
    role, _, content = text.partition("\n")
    return [*encode(role + "\n"), *encode(content)]


@mistake(
    "tokens",
    credit=0.5,
    symptom="The tokens are right, but the axis of the batch is missing, or they are no tensor.",
    cause="A model takes [batch, time], also for one text.",
    place="`torch.tensor([ids])`, with the brackets.",
)
def without_the_batch(ids):
    return torch.tensor(ids)


@also("without_the_batch", "tokens")
def a_list_of_ids(ids):
    return ids


# stream_text


@step
def arrive(ids):
    return ids


@step
def gather(waiting, new):
    return waiting + new


@step
def ready(waiting):
    """how many bytes are complete"""
    for back in range(1, min(3, len(waiting)) + 1):
        byte = waiting[-back]
        if byte & 0b1100_0000 != 0b1000_0000:
            size = 1 + (byte >= 0xC0) + (byte >= 0xE0) + (byte >= 0xF0)
            return len(waiting) - (back if back < size else 0)
    return len(waiting)


@step
def read_bytes(data):
    return data.decode("utf-8", errors="replace")


@step
def hand_over(show, text):
    if text:
        show(text)


@step
def left(waiting, complete):
    return waiting[complete:]


@step
def end_stream(show, waiting):
    if waiting:
        show(waiting.decode("utf-8", errors="replace"))


@component("arrive", "gather", "ready", "read_bytes", "hand_over", "left", "end_stream")
def stream_text(step, ids, token_bytes, show):
    waiting = b""
    for number in step.arrive(ids):
        waiting = step.gather(waiting, token_bytes[number])
        complete = step.ready(waiting)
        step.hand_over(show, step.read_bytes(waiting[:complete]))
        waiting = step.left(waiting, complete)
    step.end_stream(show, waiting)


@mistake(
    "ready",
    symptom="Where a character's bytes come in two tokens, \ufffd is shown in its place.",
    cause="Each token is decoded by itself. A character may have up to four bytes, and a token may end between them.",
    place="Let the bytes of a character that is not complete wait for the next token.",
    shows=[("stream_shows_words", "right"), ("stream_waits_for_letters", "differ")],
)
def tokens_decoded_alone(waiting):
    return len(waiting)


@mistake(
    symptom="Characters whose bytes come in two tokens vanish.",
    cause="Each token is decoded by itself, and what cannot be decoded is ignored.",
    place='Let the bytes of a character that is not complete wait for the next token, and decode with errors="replace".',
    shows=[("stream_shows_words", "right")],
)
class incomplete_letters_ignored:
    @staticmethod
    def ready(waiting):
        return len(waiting)

    @staticmethod
    def read_bytes(data):
        return data.decode("utf-8", errors="ignore")


@mistake(
    symptom="The text is right, but it is shown at the end, all at once.",
    cause="Everything is gathered first. Whoever reads waits for the last token.",
    place="Show what is complete inside the loop over the tokens.",
    shows=[("stream_shows_words", "right", "*text")],
)
class shown_at_the_end:
    @staticmethod
    def ready(waiting):
        return 0


@mistake(
    "arrive",
    symptom="The pieces are right, but nothing is shown before the last token has come.",
    cause="The tokens are put into a list first, and that waits for all of them: the model has finished by then.",
    place="Go over `ids` itself: `for number in ids`.",
    shows=[("stream_shows_words", "right", "*text")],
)
def all_tokens_first(ids):
    return list(ids)


@mistake(
    "arrive",
    symptom="Each piece is shown one token late.",
    cause="The next token is asked for before what is there is shown. A model takes a tenth of a second for it.",
    place="Show first, then go on in the loop.",
    shows=[("stream_shows_words", "right", "*text")],
)
def one_token_ahead(ids):
    ids = iter(ids)
    for one in ids:
        for following in ids:
            yield one
            one = following
        yield one


@mistake(
    "end_stream",
    symptom="Half a character at the end is swallowed.",
    cause="What still waits when no more tokens come is forgotten.",
    place="Behind the loop, show what is left.",
    shows=[("stream_shows_words", "right"), ("stream_waits_for_letters", "right"), ("stream_shows_the_rest", "differ")],
)
def rest_swallowed(show, waiting):
    pass


@mistake(
    "hand_over",
    credit=0.5,
    symptom="The text is right, but show is called with empty strings.",
    cause="Where nothing is complete, there is nothing to show. Whoever counts pieces, or draws the screen anew for each, would "
    "do it for nothing.",
    place="Call show only if there is something.",
    shows=[("stream_waits_for_letters", "right", "*text"), ("stream_waits_for_letters", "is some", "*empty pieces")],
)
def empty_pieces_shown(show, text):
    show(text)


@mistake(
    "left",
    symptom="What was shown is shown again, with each token.",
    cause="Bytes stay where they are after they were shown, so each piece is the whole text so far.",
    place="Keep only the bytes that still wait.",
)
def shown_again_and_again(waiting, complete):
    return waiting


@mistake(
    "read_bytes",
    symptom="Characters beyond ASCII become two or more others, such as Ã© for é.",
    cause="Each byte is taken as a character of its own (Latin-1). In UTF-8 only the first 128 are.",
    place='Decode with "utf-8".',
    shows=[("stream_shows_words", "right")],
)
def decoded_as_latin(data):
    return data.decode("latin-1")


@mistake(
    "ready",
    symptom="A character that really is \ufffd, or bytes that are no character, hold up what comes behind.",
    cause="Whether something is missing is guessed from a \ufffd at the end of the decoded text. But this is a character as well, "
    "and it stands for bytes that no further one completes.",
    place="Look at the bytes: how many does the last character need, and how many of them are there?",
    shows=[("stream_shows_words", "right"), ("stream_survives_wrong_bytes", "right", "*text")],
)
def replacement_taken_for_incomplete(waiting):
    return 0 if waiting.decode("utf-8", errors="replace").endswith("\ufffd") else len(waiting)


@mistake(
    "ready",
    symptom="A character holds up what stands in front of it.",
    cause="As long as the last character is not complete, nothing is shown. What is in front of it is complete already.",
    place="Show the bytes before the last character, and let only its own wait.",
    shows=[("stream_shows_words", "right"), ("stream_shows_what_is_complete", "right", "*text")],
)
def everything_waits_for_the_letter(waiting):
    for back in range(1, min(3, len(waiting)) + 1):
        byte = waiting[-back]
        if byte & 0b1100_0000 != 0b1000_0000:
            size = 1 + (byte >= 0xC0) + (byte >= 0xE0) + (byte >= 0xF0)
            return 0 if back < size else len(waiting)
    return len(waiting)


@mistake(
    "ready",
    symptom="As long as one character is not complete, or one byte is wrong, nothing is shown.",
    cause="All bytes that wait are decoded together, and where that fails, more are awaited. But what stands in front of a "
    "character that is not complete is complete already, and a wrong byte stays wrong, however many follow.",
    place='Find where the last character begins. Show what is in front of it, with errors="replace", and let it alone wait.',
    shows=[("stream_shows_words", "right"), ("stream_waits_for_letters", "right", "*text")],
)
def all_bytes_or_none(waiting):
    try:
        waiting.decode("utf-8")
    except UnicodeDecodeError:
        return 0
    return len(waiting)


@mistake(
    "ready",
    symptom="After bytes that are no character nothing more is shown until the end.",
    cause="Decoding is tried, and where it fails, more bytes are awaited. But wrong bytes stay wrong, however many follow.",
    place='Wait only for a character at the end that lacks bytes; show everything else, with errors="replace".',
    shows=[("stream_shows_words", "right"), ("stream_survives_wrong_bytes", "differ")],
)
def wrong_bytes_block(waiting):
    for back in range(min(3, len(waiting)) + 1):
        try:
            waiting[: len(waiting) - back].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return len(waiting) - back
    return 0


@mistake(
    "ready",
    symptom="Characters of three and four bytes come out as \ufffd, where those of two are right.",
    cause="Only the last byte is looked at: whether it begins a character. One of four bytes may lack its last one while "
    "the two before are there.",
    place="Look back over up to three bytes for the beginning of the last character.",
    shows=[("stream_shows_words", "right"), ("stream_waits_for_letters", "right", "two bytes*")],
)
def one_byte_back_only(waiting):
    return len(waiting) - (1 if waiting and waiting[-1] >= 0xC0 else 0)


@mistake(
    "read_bytes",
    symptom="Bytes that are no character raise an exception.",
    cause="Decoding is strict. A model may write any bytes, and a text with a wrong byte is still worth showing.",
    place='Decode with errors="replace".',
    shows=[("stream_shows_words", "right"), ("stream_survives_wrong_bytes", "differ")],
)
def decoded_strictly(data):
    return data.decode("utf-8")


@also("decoded_strictly")
class decoded_strictly_at_the_end_too:
    @staticmethod
    def read_bytes(data):
        return data.decode("utf-8")

    @staticmethod
    def end_stream(show, waiting):
        if waiting:
            show(waiting.decode("utf-8"))


@mistake(
    "end_stream",
    symptom="Half a character at the end raises an exception.",
    cause="What is left behind the loop is decoded strictly. By then nothing more will come, so it has to be shown as it is.",
    place='Decode with errors="replace" there, too.',
    shows=[("stream_shows_words", "right"), ("stream_survives_wrong_bytes", "right")],
)
def rest_decoded_strictly(show, waiting):
    if waiting:
        show(waiting.decode("utf-8"))


@mistake(
    "read_bytes",
    symptom="Spaces are missing between words.",
    cause="Pieces are stripped. In these tokens the space belongs to the word behind it.",
    place="Show pieces as they are.",
    shows=[("stream_shows_words", "differ")],
)
def pieces_stripped(data):
    return data.decode("utf-8", errors="replace").strip()


@mistake(
    "ready",
    symptom="Words are held back until a space follows.",
    cause="Only whole words are shown. Then the last one waits for what may never come, and a long one for many tokens.",
    place="Wait for the bytes of a character, and for nothing else.",
    shows=[("stream_shows_words", "right", "*text")],
)
def whole_words_awaited(waiting):
    return waiting.rfind(b" ") + 1
