"""What people get wrong in the capstone, part 1: tokens."""

import collections
import itertools

from autograder.mistakes import Catalogue
from workbench.pieces import pieces

catalogue = Catalogue()
step, component, mistake, also = catalogue.step, catalogue.component, catalogue.mistake, catalogue.also

# train_merges, the right way, a step at a time


@step
def cut_text(text):
    return pieces(text)


@step
def weigh_pieces(cut):
    return collections.Counter(cut)


@step
def spell(piece):
    return [bytes([byte]) for byte in piece.encode()]


@step
def goes_on(merges, count):
    return len(merges) < count


@step
def count_pairs(tokens, words):
    counts = collections.Counter()
    for piece, times in words.items():
        for pair in itertools.pairwise(tokens[piece]):
            counts[pair] += times
    return counts


@step
def is_over(counts):
    return not counts


@step
def choose_pair(counts):
    return min(counts, key=lambda pair: (-counts[pair], pair))


@step
def join_pair(tokens, pair):
    joined = []
    for token in tokens:
        if joined and (joined[-1], token) == pair:
            joined[-1] += token
        else:
            joined.append(token)
    return joined


@step
def write_down(merges):
    return merges


@component(
    "cut_text",
    "weigh_pieces",
    "spell",
    "goes_on",
    "count_pairs",
    "is_over",
    "choose_pair",
    "join_pair",
    "write_down",
)
def train_merges(step, text, count):
    words = step.weigh_pieces(step.cut_text(text))
    tokens = {piece: step.spell(piece) for piece in words}
    merges = []
    while step.goes_on(merges, count):
        counts = step.count_pairs(tokens, words)
        if step.is_over(counts):
            break
        merges.append(step.choose_pair(counts))
        tokens = {piece: step.join_pair(old, merges[-1]) for piece, old in tokens.items()}
    return step.write_down(merges)


# encode, the right way


@step
def cut_for_ids(text):
    return pieces(text)


@step
def spell_known(piece, vocabulary):
    tokens = [bytes([byte]) for byte in piece.encode()]
    return [token for token in tokens if token in vocabulary]


@step
def first_to_merge(pairs, ranks):
    return min(pairs, key=ranks.get)


@step
def merge_piece(step, tokens, ranks):
    while pairs := [pair for pair in itertools.pairwise(tokens) if pair in ranks]:
        tokens = step.join_pair(tokens, step.first_to_merge(pairs, ranks))
    return tokens


@step
def give_ids(tokens, vocabulary):
    return [vocabulary[token] for token in tokens]


@step
def line_up(ids_of_pieces):
    return [number for ids in ids_of_pieces for number in ids]


@component("cut_for_ids", "spell_known", "first_to_merge", "join_pair", "merge_piece", "give_ids", "line_up")
def encode(step, text, merges, vocabulary):
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    found = []
    for piece in step.cut_for_ids(text):
        tokens = step.merge_piece(step, step.spell_known(piece, vocabulary), ranks)
        found.append(step.give_ids(tokens, vocabulary))
    return step.line_up(found)


def merge_by_rank(tokens, merges):
    """Return the tokens of a piece, for mistakes that are written as a whole."""
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    while pairs := [pair for pair in itertools.pairwise(tokens) if pair in ranks]:
        tokens = join_pair(tokens, first_to_merge(pairs, ranks))
    return tokens


# decode, the right way


@step
def look_up(ids, vocabulary):
    tokens = {number: token for token, number in vocabulary.items()}
    return [tokens[number] for number in ids]


@step
def read_tokens(tokens):
    return b"".join(tokens).decode("utf-8", errors="replace")


@component("look_up", "read_tokens")
def decode(step, ids, vocabulary):
    return step.read_tokens(step.look_up(ids, vocabulary))


# Where a text is cut


@mistake(
    "cut_text",
    symptom="Merges cross from one word into the next, or the blank of a word is lost.",
    cause="The text is not cut by `pieces`: it is taken as a whole, or cut at its blanks. As a whole, the end of one "
    "word and the beginning of the next become tokens, and cut at blanks, nothing tells where a word began.",
    place="Go through `pieces(text)`; each piece has its blank in front.",
)
def text_not_cut_into_pieces(text):
    return [text]


@also("text_not_cut_into_pieces", "cut_text")
def cut_at_blanks(text):
    return text.split()


@also("text_not_cut_into_pieces", "cut_text")
def cut_at_each_blank(text):
    return text.split(" ")


@also("text_not_cut_into_pieces", "cut_for_ids")
def text_encoded_as_a_whole(text):
    return [text]


@also("text_not_cut_into_pieces", "cut_for_ids")
def encoded_words_without_blanks(text):
    return text.split()


@also("text_not_cut_into_pieces", "cut_for_ids")
def encoded_between_blanks(text):
    return text.split(" ")


@mistake(
    "weigh_pieces",
    symptom="A word that occurs many times counts as one that occurs once.",
    cause="Equal pieces are gathered, which saves time, but how often each occurs is lost. What is frequent in the "
    "text has to be frequent in the counts.",
    place="Keep {piece: how often} (`collections.Counter`), and add that number for each of its pairs.",
    shows=[("pieces_count_as_often_as_they_occur", "differ", "merges")],
)
def each_piece_counted_once(cut):
    return dict.fromkeys(cut, 1)


# Bytes


@mistake(
    "spell",
    symptom="A character such as é begins as one token; in bytes it is several.",
    cause="The text is spelt in characters. Byte-level BPE begins with the bytes of UTF-8, of which there are 256 "
    "and no more, so that no text is without tokens.",
    place="Take the bytes of `piece.encode()` one by one.",
)
def characters_for_bytes(piece):
    return [character.encode() for character in piece]


@also("characters_for_bytes", "spell_known")
def known_characters_for_bytes(piece, vocabulary):
    return [token for token in (character.encode() for character in piece) if token in vocabulary]


@also("characters_for_bytes", "encode")
def characters_looked_up(text, merges, vocabulary):
    ids = []
    for piece in pieces(text):
        tokens = merge_by_rank([character.encode() for character in piece], merges)
        ids += [vocabulary[token] for token in tokens if len(token) > 1 or token in vocabulary]
    return ids


@mistake(
    "write_down",
    symptom="The merges are pairs of strings, and bytes are asked for.",
    cause="A token is `bytes`. A string holds characters, and half a character is none.",
    place="Begin with `piece.encode()`, and keep to `bytes` throughout.",
    shows=[("merges_of_a_text_are_found", "differ", "*merges")],
)
def merges_are_strings(merges):
    return [(left.decode("latin-1"), right.decode("latin-1")) for left, right in merges]


@also("merges_are_strings", "train_merges")
def merges_of_characters(text, count):
    words = collections.Counter(pieces(text))
    tokens, merges = {piece: list(piece) for piece in words}, []
    while len(merges) < count and (counts := count_pairs(tokens, words)):
        merges.append(choose_pair(counts))
        tokens = {piece: join_pair(old, merges[-1]) for piece, old in tokens.items()}
    return merges


@mistake(
    "write_down",
    symptom="The merges are pairs of numbers, and bytes are asked for.",
    cause="The tokens are ids: numbers of bytes, and from 256 on a new one for each merge. Whoever reads such a "
    "merge has to look up what it is made of, and here the vocabulary is made afterwards.",
    place="Let a token be `bytes`: `bytes([number])` for one byte, and `left + right` for a merge.",
    shows=[("merges_of_a_text_are_found", "differ", "*merges")],
)
def merges_are_numbers(merges):
    ids = {bytes([byte]): byte for byte in range(256)}
    for left, right in merges:
        ids[left + right] = len(ids)
    return [(ids[left], ids[right]) for left, right in merges]


@mistake(
    "write_down",
    symptom="Instead of a pair there is what it makes.",
    cause="The new tokens were written down. A merge is the pair: `ab` and `c`, or `a` and `bc`, make the same token "
    "in two ways, and `encode` has to know which.",
    place="Append the pair itself, `(left, right)`.",
    shows=[("merges_of_a_text_are_found", "differ", "*merges")],
)
def tokens_instead_of_pairs(merges):
    return [left + right for left, right in merges]


@mistake(
    "write_down",
    credit=0.5,
    symptom="Each merge is a list of two tokens, and a tuple is asked for.",
    cause="A list cannot be a key of a dict, which is how `encode` finds the rank of a pair.",
    place="Write `(left, right)`, with round brackets.",
    shows=[
        ("merges_of_a_text_are_found", "differ", "*merges"),
        ("merges_of_a_text_are_found", "right", "*how many merges"),
    ],
)
def pairs_are_lists(merges):
    return [[left, right] for left, right in merges]


# How pairs are counted


@mistake(
    "count_pairs",
    symptom="In a run of equal letters too few pairs are counted.",
    cause="Pairs that overlap are counted once, as when the text is searched for the pair, and goes on behind what "
    "was found. Counted is every place where two tokens are neighbours: `aaa` holds *a a* twice.",
    place="Count all of `zip(tokens, tokens[1:])`; `count` and `replace` of strings and bytes do not overlap.",
    shows=[("equal_letters_are_counted_and_merged", "differ")],
)
def overlaps_not_counted(tokens, words):
    counts = collections.Counter()
    for piece, times in words.items():
        place, split = 0, tokens[piece]
        while place + 1 < len(split):
            pair = split[place], split[place + 1]
            counts[pair] += times
            # As `count` of a string goes on behind what it has found.
            place += 2 if (pair[0] == pair[1] and tuple(split[place + 1 : place + 3]) == pair) else 1
    return counts


@mistake(
    "count_pairs",
    symptom="A pair that stands several times in one piece counts once.",
    cause="The pairs of a piece were gathered in a set, or as keys of a dict. Each place counts.",
    place="Go through all neighbours of the piece, and add for each.",
    shows=[("equal_letters_are_counted_and_merged", "differ")],
)
def each_pair_once_in_a_piece(tokens, words):
    counts = collections.Counter()
    for piece, times in words.items():
        for pair in set(itertools.pairwise(tokens[piece])):
            counts[pair] += times
    return counts


@mistake(
    "train_merges",
    symptom="No merge is made of an earlier one: all are pairs of single bytes.",
    cause="The pairs were counted once, and the most frequent ones taken. After each merge the neighbours are "
    "others, so that it takes a new count.",
    place="Merge the pair in all pieces, and count again, once for each merge.",
    shows=[("merges_of_a_text_are_found", "differ", "*merges")],
)
def pairs_counted_only_at_the_beginning(text, count):
    words = collections.Counter(pieces(text))
    counts = count_pairs({piece: spell(piece) for piece in words}, words)
    return sorted(counts, key=lambda pair: (-counts[pair], pair))[:count]


# Which pair is chosen


@mistake(
    "choose_pair",
    symptom="Of equally frequent pairs another one is merged than the smallest.",
    cause="`max` by the count alone takes the pair that was met first. The contract has a rule for ties, so that "
    "everybody finds the same merges: the smallest pair, as Python compares tuples of bytes.",
    place="Compare (-count, pair) with `min`.",
    shows=[("ties_go_to_the_smallest_pair", "differ", "*merges")],
)
def ties_by_the_first_that_was_met(counts):
    return max(counts, key=counts.get)


@also("ties_by_the_first_that_was_met", "choose_pair")
def ties_by_the_last_that_was_met(counts):
    return max(reversed(counts), key=counts.get)


@mistake(
    "choose_pair",
    symptom="Of equally frequent pairs the largest is merged.",
    cause="`max` over (count, pair), or a list that was sorted and reversed, turns both orders around: the count, as "
    "it should, and the pair.",
    place="Make only the count negative: `min(counts, key=lambda pair: (-counts[pair], pair))`.",
    shows=[("ties_go_to_the_smallest_pair", "differ", "*merges")],
)
def ties_by_the_largest_pair(counts):
    return max(counts, key=lambda pair: (counts[pair], pair))


@mistake(
    "choose_pair",
    symptom="Of equally frequent pairs the one that makes the smallest token is merged, and not the smallest pair.",
    cause="The joined bytes were compared. (b'a', b'bz') is smaller than (b'ab', b'a'), because a tuple is compared "
    "by its first entry first; joined, it is `abz`, which is larger than `aba`.",
    place="Compare the pairs themselves.",
    shows=[("merges_of_a_text_are_found", "differ", "*merges")],
)
def ties_by_the_joined_token(counts):
    return min(counts, key=lambda pair: (-counts[pair], pair[0] + pair[1]))


# How a pair is merged


@mistake(
    "join_pair",
    symptom="A pair that stands several times in a piece is merged at its first place only.",
    cause="The search ends at the first place that was found (`index`, `replace(..., 1)`, or a `break`).",
    place="Go through the whole piece.",
    shows=[("equal_letters_are_counted_and_merged", "differ")],
    only="train_merges",
)
def merged_at_the_first_place_only(tokens, pair):
    for place in range(len(tokens) - 1):
        if (tokens[place], tokens[place + 1]) == pair:
            return [*tokens[:place], pair[0] + pair[1], *tokens[place + 2 :]]
    return tokens


@mistake(
    "join_pair",
    symptom="In a run of an odd number of equal letters the first one is left over, and not the last.",
    cause="The piece is gone through from right to left. The contract goes from left to right: `aaa` becomes `aa`, "
    "`a`.",
    place="Begin at the front of the piece.",
    shows=[("equal_letters_are_counted_and_merged", "differ")],
)
def merged_from_right_to_left(tokens, pair):
    joined = []
    for token in reversed(tokens):
        if joined and (token, joined[-1]) == pair:
            joined[-1] = token + joined[-1]
        else:
            joined.append(token)
    return joined[::-1]


@mistake(
    "join_pair",
    symptom="The second half of a merged pair stands there once more, and becomes part of later merges.",
    cause="After a merge the search goes on one token further, and not two.",
    place="Skip both tokens of the pair that was merged.",
    shows=[("merges_of_a_text_are_found", "differ", "*merges")],
)
def second_half_kept(tokens, pair):
    joined = []
    for place, token in enumerate(tokens):
        found = (token, *tokens[place + 1 : place + 2]) == pair
        joined.append(pair[0] + pair[1] if found else token)
    return joined


@mistake(
    "join_pair",
    symptom="A pair is found inside longer tokens: `a b` in `ca b`, or in `a bc`.",
    cause="The tokens were written as one text with blanks between them, and the pair was replaced in it by "
    "`replace`. That does not see where a token begins. Sennrich et al. (2016, Algorithm 1) look for white space on "
    "both sides.",
    place="Compare whole tokens, in a list.",
    shows=[("merges_of_a_text_are_found", "differ", "*merges")],
)
def replaced_inside_longer_tokens(tokens, pair):
    written = " ".join(token.hex() for token in tokens)
    written = written.replace(f"{pair[0].hex()} {pair[1].hex()}", (pair[0] + pair[1]).hex())
    return [bytes.fromhex(token) for token in written.split(" ")] if tokens else tokens


# When it ends


@mistake(
    "is_over",
    credit=0.5,
    symptom="An exception is raised where nothing is left to merge.",
    cause="`min` or `max` of nothing raises. A short text has fewer merges than are wanted, and the list is shorter "
    "then.",
    place="End the loop when there are no pairs.",
    shows=[("merging_ends_by_itself", "raise"), ("merges_of_a_text_are_found", "right")],
)
def fails_when_nothing_is_left(counts):
    return False


@mistake(
    "is_over",
    credit=0.5,
    symptom="It ends as soon as every pair stands only once.",
    cause="Programs that train tokenizers have such a limit, as a pair that stands once is hardly worth a token. "
    "Algorithm 1 has none, and neither has the contract.",
    place="End only where there are no pairs at all.",
    shows=[("merging_ends_by_itself", "differ", "*how many merges")],
)
def pairs_that_stand_once_left_out(counts):
    return not counts or max(counts.values()) < 2


@mistake(
    "goes_on",
    symptom="There is one merge too many, or one too few.",
    cause="The loop ends one step too late or too early.",
    place="Compare with count before each merge: `while len(merges) < count`.",
    shows=[("merges_of_a_text_are_found", "differ", "*how many merges")],
)
def one_merge_too_many(merges, count):
    return len(merges) <= count


@also("one_merge_too_many", "goes_on")
def one_merge_too_few(merges, count):
    return len(merges) < count - 1


@mistake(
    "goes_on",
    symptom="There are no merges where a few are asked for.",
    cause="count was taken for the size of the vocabulary, with the 256 bytes in it. It is the number of merges.",
    place="Do not subtract 256.",
    shows=[("merges_of_a_text_are_found", "is 0", "*how many merges")],
)
def count_taken_for_the_vocabulary(merges, count):
    return len(merges) < count - 256


# Which merge goes first in encode


@mistake(
    "merge_piece",
    symptom="The longest token of the vocabulary is taken, from left to right.",
    cause="That is how WordPiece cuts a word (the tokenizer of BERT). In BPE the merges decide, in their order, and "
    "they may lead to shorter tokens.",
    place="Begin with single bytes, and merge the pair with the lowest rank.",
    shows=[("the_earliest_merge_goes_first", "differ")],
)
def longest_token_first(step, tokens, ranks):
    known, text, found = {left + right for left, right in ranks}, b"".join(tokens), []
    while text:
        length = next((end for end in range(len(text), 1, -1) if text[:end] in known), 1)
        found.append(text[:length])
        text = text[length:]
    return found


@mistake(
    "first_to_merge",
    symptom="The leftmost pair that is in merges goes first, and not the one that stands first in merges.",
    cause="The rank was not asked. Where two pairs overlap, as *a b* and *b c* in `abc`, the earlier merge has to win.",
    place="Of all pairs of the piece take the one with the lowest rank.",
    shows=[("the_earliest_merge_goes_first", "differ")],
)
def leftmost_pair_first(pairs, ranks):
    return pairs[0]


@also("leftmost_pair_first", "merge_piece")
def leftmost_place_first(step, tokens, ranks):
    tokens, place = list(tokens), 0
    while place + 1 < len(tokens):
        if (tokens[place], tokens[place + 1]) in ranks:
            tokens[place : place + 2] = [tokens[place] + tokens[place + 1]]
            place = 0
        else:
            place += 1
    return tokens


@mistake(
    "first_to_merge",
    symptom="The pair that stands last in merges goes first.",
    cause="`max` of the ranks was taken. The most frequent pair was found first, and has the lowest rank.",
    place="Use `min`.",
    shows=[("the_earliest_merge_goes_first", "differ")],
)
def latest_merge_first(pairs, ranks):
    return max(pairs, key=ranks.get)


@mistake(
    "merge_piece",
    symptom="Only one merge is made in a piece.",
    cause="The loop is missing: after one merge there are new neighbours, and they may be in merges as well.",
    place="Look again after each merge, until no pair is in merges.",
)
def a_single_merge_in_a_piece(step, tokens, ranks):
    pairs = [pair for pair in itertools.pairwise(tokens) if pair in ranks]
    return step.join_pair(tokens, step.first_to_merge(pairs, ranks)) if pairs else tokens


@mistake(
    "merge_piece",
    symptom="Each id stands for a single byte: nothing is merged.",
    cause="The merges were not used.",
    place="Merge the tokens of a piece before you look up their ids.",
)
def merges_not_used(step, tokens, ranks):
    return tokens


# Ids


@mistake(
    "give_ids",
    symptom="The ids are not those of the vocabulary.",
    cause="They were computed: a byte's number, and 256 plus the rank. The ids of a published vocabulary are others, "
    "and only the vocabulary knows them.",
    place="Look each token up: `vocabulary[token]`.",
)
def ids_from_the_ranks(tokens, vocabulary):
    longer = sorted(token for token in vocabulary if len(token) > 1)
    return [token[0] if len(token) == 1 else 256 + longer.index(token) for token in tokens]


@also("ids_from_the_ranks", "encode")
def byte_ids_and_ranks(text, merges, vocabulary):
    made = {left + right: 256 + rank for rank, (left, right) in reversed(list(enumerate(merges)))}
    ids = []
    for piece in pieces(text):
        tokens = merge_by_rank(spell_known(piece, vocabulary), merges)
        ids += [token[0] if len(token) == 1 else made[token] for token in tokens]
    return ids


@also("ids_from_the_ranks", "encode")
def ids_by_the_order_of_the_vocabulary(text, merges, vocabulary):
    order = list(vocabulary)
    return [
        order.index(token) for piece in pieces(text) for token in merge_by_rank(spell_known(piece, vocabulary), merges)
    ]


@mistake(
    "give_ids",
    symptom="The tokens come back, and not their ids.",
    cause="The last step is missing: a model reads numbers.",
    place="Return `vocabulary[token]` for each token.",
)
def tokens_instead_of_ids(tokens, vocabulary):
    return tokens


@mistake(
    "line_up",
    symptom="There is a list for each piece, and one list of ids is asked for.",
    cause="`append` puts a list into the list; `extend`, or `+=`, puts its entries there.",
    place="Write `ids += ...`.",
)
def a_list_for_each_piece(ids_of_pieces):
    return ids_of_pieces


# Bytes without an id


@mistake(
    "encode",
    credit=0.5,
    symptom="A byte that the vocabulary lacks raises a KeyError.",
    cause="Not every vocabulary holds all bytes: SmolLM2's lacks 21 of them. Such a byte is left out.",
    place="Keep only bytes that are in the vocabulary, before you merge.",
    shows=[("bytes_without_an_id_are_left_out", "is raised KeyError", "*answer"), ("ids_follow_the_merges", "right")],
)
def byte_without_an_id_raises(text, merges, vocabulary):
    return [vocabulary[token] for piece in pieces(text) for token in merge_by_rank(spell(piece), merges)]


@mistake(
    "encode",
    credit=0.5,
    symptom="A byte that the vocabulary lacks is left out only after the merges, so that its neighbours are not "
    "merged.",
    cause="It was left out where the ids are looked up. By the contract it goes before anything is merged, as in the "
    "published tokenizer.",
    place="Leave it out when you make the list of single bytes.",
    shows=[("bytes_without_an_id_are_left_out", "differ", "*ids"), ("ids_follow_the_merges", "right")],
)
def byte_without_an_id_left_out_after_the_merges(text, merges, vocabulary):
    return [
        vocabulary[token]
        for piece in pieces(text)
        for token in merge_by_rank(spell(piece), merges)
        if token in vocabulary
    ]


@mistake(
    "encode",
    symptom="For a byte that the vocabulary lacks there is an id, or None, where nothing should be.",
    cause="`vocabulary.get(token)` gives None, and `vocabulary.get(token, 0)` the id of another token. The byte is "
    "left out.",
    place="Keep only bytes that are in the vocabulary, before you merge.",
    shows=[("bytes_without_an_id_are_left_out", "differ", "*ids"), ("ids_follow_the_merges", "right")],
)
def byte_without_an_id_gets_one(text, merges, vocabulary):
    return [vocabulary.get(token) for piece in pieces(text) for token in merge_by_rank(spell(piece), merges)]


@also("byte_without_an_id_gets_one", "encode")
def byte_without_an_id_gets_0(text, merges, vocabulary):
    return [vocabulary.get(token, 0) for piece in pieces(text) for token in merge_by_rank(spell(piece), merges)]


# What is given stays as it is


@mistake(
    "encode",
    credit=0.5,
    symptom="The ids are right, but merges or vocabulary are others afterwards.",
    cause="Something was put into them, or taken out. The next text is encoded with the same two, and may come out "
    "differently.",
    place="Look for `pop`, `insert`, `append`, `setdefault` or an assignment to `vocabulary[...]`; make a table of "
    "your own.",
    shows=[("encoding_changes_nothing", "differ"), ("ids_follow_the_merges", "right")],
)
def encode_changes_in_place(text, merges, vocabulary):
    ids = []
    for piece in pieces(text):
        for token in merge_by_rank(spell_known(piece, vocabulary), merges):
            ids.append(vocabulary.setdefault(token, len(vocabulary)))
    merges.clear()
    return ids


@also("encode_changes_in_place", "encode")
def encode_adds_to_the_vocabulary(text, merges, vocabulary):
    known = dict(vocabulary)
    ids = [known[token] for piece in pieces(text) for token in merge_by_rank(spell_known(piece, known), merges)]
    vocabulary.update({bytes([byte]): byte for byte in range(256) if bytes([byte]) not in vocabulary})
    return ids


# decode


@mistake(
    "read_tokens",
    symptom="A character whose bytes lie in several tokens is shown as several �.",
    cause="Each token was read as UTF-8 by itself. A character may begin in one token and end in the next.",
    place="Join the bytes of all tokens, and decode once.",
    shows=[("characters_may_be_cut", "differ", "*text"), ("tokens_are_joined", "right")],
)
def each_token_read_by_itself(tokens):
    return "".join(token.decode("utf-8", errors="replace") for token in tokens)


@mistake(
    "read_tokens",
    symptom="Bytes that are not UTF-8 disappear without a sign.",
    cause='`errors="ignore"` leaves them out. Who reads the text should see that something is there.',
    place='Use `errors="replace"`.',
    shows=[("odd_bytes_are_shown", "differ", "*text"), ("tokens_are_joined", "right")],
)
def odd_bytes_left_out(tokens):
    return b"".join(tokens).decode("utf-8", errors="ignore")


@mistake(
    "read_tokens",
    symptom="A token that is not UTF-8 by itself is lost, and with it characters that lie in several tokens.",
    cause="Each token was read by itself, and what is not UTF-8 was left out. A character may begin in one token and "
    "end in the next.",
    place='Join the bytes of all tokens, and decode once, with `errors="replace"`.',
    shows=[("characters_may_be_cut", "differ", "*text"), ("tokens_are_joined", "right")],
)
def parts_of_characters_left_out(tokens):
    return "".join(token.decode("utf-8", errors="ignore") for token in tokens)


@also("parts_of_characters_left_out", "read_tokens")
def whole_tokens_left_out(tokens):
    text = ""
    for token in tokens:
        try:
            text += token.decode()
        except UnicodeDecodeError:
            continue
    return text


@mistake(
    "read_tokens",
    credit=0.5,
    symptom="Bytes that are not UTF-8 raise a UnicodeDecodeError.",
    cause="That is what `decode` does by default. A model may write any ids, and a text is cut anywhere.",
    place='Use `errors="replace"`.',
    shows=[("odd_bytes_are_shown", "is raised UnicodeDecodeError", "*answer"), ("characters_may_be_cut", "right")],
)
def odd_bytes_raise(tokens):
    return b"".join(tokens).decode()


@mistake(
    "read_tokens",
    symptom="A token that is not UTF-8 by itself raises a UnicodeDecodeError, although the text is right.",
    cause="Each token was read by itself. A character may begin in one token and end in the next.",
    place='Join the bytes of all tokens, and decode once, with `errors="replace"`.',
    shows=[("characters_may_be_cut", "is raised UnicodeDecodeError", "*answer"), ("tokens_are_joined", "right")],
)
def parts_of_characters_raise(tokens):
    return "".join(token.decode() for token in tokens)


@mistake(
    "read_tokens",
    symptom="é is shown as Ã©: each byte has become a character.",
    cause="The bytes were read as Latin-1, or by `chr`. They are UTF-8, in which characters beyond ASCII are several "
    "bytes.",
    place='Decode as "utf-8".',
    shows=[("characters_may_be_cut", "differ", "*text"), ("tokens_are_joined", "right")],
)
def read_as_latin_1(tokens):
    return b"".join(tokens).decode("latin-1")


@also("read_as_latin_1", "read_tokens")
def read_by_chr(tokens):
    return "".join(chr(byte) for token in tokens for byte in token)


@mistake(
    "read_tokens",
    symptom="Bytes that are not UTF-8 are shown in another way than by �.",
    cause='`errors` was given as "backslashreplace" or "surrogateescape". The first writes what nobody has said, and '
    "the second makes half characters that cannot be printed.",
    place='Use `errors="replace"`.',
    shows=[("odd_bytes_are_shown", "differ", "*text"), ("characters_may_be_cut", "right")],
)
def odd_bytes_shown_otherwise(tokens):
    return b"".join(tokens).decode("utf-8", errors="backslashreplace")


@also("odd_bytes_shown_otherwise", "read_tokens")
def odd_bytes_as_surrogates(tokens):
    return b"".join(tokens).decode("utf-8", errors="surrogateescape")


@mistake(
    "read_tokens",
    symptom="There are blanks between all tokens.",
    cause="The tokens were joined by blanks. The blank before a word belongs to its token.",
    place='Join with nothing between: `b"".join(...)`.',
    shows=[("tokens_are_joined", "differ", "*text")],
)
def joined_by_blanks(tokens):
    return b" ".join(tokens).decode("utf-8", errors="replace")


@mistake(
    "read_tokens",
    symptom="White space at the beginning or the end of the text is gone.",
    cause="The text was stripped. A model may well begin with a blank or end with a new line, and encoded again the "
    "ids would be others.",
    place="Look for `strip`, or for `split` and `join`.",
    shows=[("tokens_are_joined", "differ", "*text"), ("characters_may_be_cut", "right")],
)
def white_space_stripped(tokens):
    return b"".join(tokens).decode("utf-8", errors="replace").strip()


@also("white_space_stripped", "read_tokens")
def white_space_made_one_blank(tokens):
    return " ".join(b"".join(tokens).decode("utf-8", errors="replace").split())


@mistake(
    "read_tokens",
    symptom="Bytes come back, and a text is asked for.",
    cause="The bytes were joined and not decoded.",
    place='Write `.decode("utf-8", errors="replace")` behind the joined bytes.',
    shows=[("tokens_are_joined", "is bytes", "*answer")],
)
def bytes_instead_of_a_text(tokens):
    return b"".join(tokens)


@mistake(
    "read_tokens",
    symptom="The text holds b'...': the way in which Python shows bytes.",
    cause="`str(token)` of bytes does not decode them.",
    place="Use the method `decode`.",
    shows=[("tokens_are_joined", "differ", "*text")],
)
def shown_as_bytes(tokens):
    return "".join(str(token) for token in tokens)


@also("shown_as_bytes", "read_tokens")
def shown_as_bytes_at_once(tokens):
    return str(b"".join(tokens))


@mistake(
    "look_up",
    symptom="Other tokens come out than those of the ids.",
    cause="The id was taken for a place in the vocabulary, or for a byte. Its tokens may stand there in any order.",
    place="Turn the vocabulary around: `{number: token for token, number in vocabulary.items()}`.",
    shows=[("tokens_are_joined", "differ")],
)
def ids_taken_for_places(ids, vocabulary):
    order = list(vocabulary)
    return [order[number % len(order)] for number in ids]


@also("ids_taken_for_places", "look_up")
def ids_taken_for_bytes(ids, vocabulary):
    return [bytes([number % 256]) for number in ids]


@mistake(
    "decode",
    credit=0.5,
    symptom="The text is right, but ids or vocabulary are others afterwards.",
    cause="Something was taken out of them, or put in. Whoever called the function still needs them.",
    place="Look for `pop`, `reverse` or an assignment to `vocabulary[...]`; make a table of your own.",
    shows=[("decoding_changes_nothing", "differ"), ("tokens_are_joined", "right")],
)
def decode_changes_in_place(ids, vocabulary):
    tokens = look_up(ids, vocabulary)
    ids.clear()
    return read_tokens(tokens)


@also("decode_changes_in_place", "decode")
def decode_turns_the_vocabulary_around(ids, vocabulary):
    tokens = look_up(ids, vocabulary)
    for token in list(vocabulary):
        vocabulary[vocabulary.pop(token)] = token
    return read_tokens(tokens)
