"""What people get wrong in the capstone."""

import collections
import itertools
import math

import torch
import torch.nn.functional as F
from torch import nn

from autograder.mistakes import Catalogue
from workbench.pieces import pieces

catalogue = Catalogue()
step, component, mistake, also = catalogue.step, catalogue.component, catalogue.mistake, catalogue.also

# Part 1: tokens

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


# Part 2: training

# initialise, the right way, a step at a time


@step
def named_parameters_of(model):
    return list(model.named_parameters())


@step
def set_bias(parameter):
    parameter.zero_()


@step
def set_norm(parameter):
    parameter.fill_(1.0)


@step
def adds_to_the_stream(name):
    return name.endswith(("out_proj.weight", "down_proj.weight"))


@step
def residual_std(num_layers, name):
    return 0.02 / math.sqrt(2 * num_layers)


@step
def usual_std(num_layers, name):
    return 0.02


@step
def draw_matrix(parameter, std):
    parameter.normal_(0.0, std)


@component(
    "named_parameters_of", "set_bias", "set_norm", "adds_to_the_stream", "residual_std", "usual_std", "draw_matrix"
)
def initialise(own, model, num_layers):
    with torch.no_grad():
        for name, parameter in own.named_parameters_of(model):
            if name.endswith("bias"):
                own.set_bias(parameter)
            elif parameter.dim() == 1:
                own.set_norm(parameter)
            elif own.adds_to_the_stream(name):
                own.draw_matrix(parameter, own.residual_std(num_layers, name))
            else:
                own.draw_matrix(parameter, own.usual_std(num_layers, name))


@mistake(
    "residual_std",
    symptom="The matrices that add to the residual stream are drawn like all others.",
    cause="Their smaller standard deviation is missing. Each layer adds to the stream twice, so its variance grows "
    "with every layer.",
    place="Look for the parameters whose names end in out_proj.weight or down_proj.weight.",
    shows=[("residual_matrices_are_smaller", "is 0.02"), ("matrices_have_their_spread", "right")],
)
def residual_not_scaled(num_layers, name):
    return 0.02


@mistake(
    "residual_std",
    symptom="The matrices that add to the residual stream have a standard deviation of 0.02 / √layers.",
    cause="Only one sum for each layer was counted. Every layer adds to the stream twice: behind attention and behind "
    "the feed-forward network.",
    place="Divide by math.sqrt(2 * num_layers).",
    shows=[("residual_matrices_are_smaller", "is 0.02 / √layers", "3 layers:*")],
)
def one_sum_for_each_layer(num_layers, name):
    return 0.02 / math.sqrt(num_layers)


@mistake(
    "residual_std",
    symptom="The matrices that add to the residual stream have a standard deviation of 0.02 / (2 · layers).",
    cause="The root is missing. It is variances that add up: 2 · layers sums keep the variance of one if each standard "
    "deviation is smaller by the *root* of 2 · layers.",
    place="Take the root of 2 * num_layers.",
    shows=[("residual_matrices_are_smaller", "is 0.02 / (2 · layers)", "3 layers:*")],
)
def root_of_the_layers_missing(num_layers, name):
    return 0.02 / (2 * num_layers)


@mistake(
    "residual_std",
    symptom="The matrices that add to the residual stream begin larger than all others.",
    cause="The factor √(2 · layers) multiplies where it should divide. What is added many times has to be small.",
    place="Divide 0.02 by the root.",
    shows=[("residual_matrices_are_smaller", "is 0.02 · √(2 · layers)", "3 layers:*")],
)
def residual_multiplied(num_layers, name):
    return 0.02 * math.sqrt(2 * num_layers)


@mistake(
    "residual_std",
    symptom="The standard deviation differs from layer to layer.",
    cause="It was made of the place of the layer, not of the number of layers. In GPT-2 all layers begin alike.",
    place="Use num_layers, the same for all layers.",
    shows=[("residual_matrices_are_smaller", "differ", "3 layers: standard deviation of layers.0*")],
)
def by_the_place_of_the_layer(num_layers, name):
    places = [int(part) for part in name.split(".") if part.isdigit()]
    return 0.02 / math.sqrt(2 * (places[0] + 1))


@mistake(
    "adds_to_the_stream",
    symptom="Of the two kinds of matrices that add to the residual stream, one is drawn like all others.",
    cause="Only one ending was looked for. Attention ends in out_proj and the feed-forward network in down_proj, and "
    "what either gives is added to the stream.",
    place='Ask for both: `name.endswith(("out_proj.weight", "down_proj.weight"))`.',
    shows=[("residual_matrices_are_smaller", "is 0.02", "3 layers:*")],
)
def attention_alone_scaled(name):
    return name.endswith("out_proj.weight")


@also("attention_alone_scaled", "adds_to_the_stream")
def feed_forward_alone_scaled(name):
    return name.endswith("down_proj.weight")


@mistake(
    "adds_to_the_stream",
    symptom="Matrices that do not add to the residual stream are smaller as well.",
    cause="The names were asked for too little: q_proj, k_proj, v_proj and up_proj hold a `proj` as well. Only the "
    "last matrix of attention and that of the feed-forward network add to the stream.",
    place="Ask for the endings out_proj.weight and down_proj.weight.",
    shows=[("matrices_have_their_spread", "is 0.02 / √(2 · layers)")],
)
def every_projection_scaled(name):
    return "proj" in name


@also("every_projection_scaled", "adds_to_the_stream")
def every_matrix_of_a_layer_scaled(name):
    return "layers" in name


@also("every_projection_scaled", "usual_std")
def everything_scaled(num_layers, name):
    return 0.02 / math.sqrt(2 * num_layers)


@mistake(
    "draw_matrix",
    symptom="The standard deviation is √0.02 = 0.14 where it should be 0.02.",
    cause="0.02 was taken for a variance. It is the standard deviation.",
    place="Look for a root of 0.02.",
    shows=[("matrices_have_their_spread", "is √0.02")],
)
def variance_instead_of_deviation(parameter, std):
    parameter.normal_(0.0, math.sqrt(std))


@mistake(
    "draw_matrix",
    symptom="The standard deviation is 0.02² = 0.0004 where it should be 0.02.",
    cause="The variance was handed to a function that asks for the standard deviation, as `normal_` does.",
    place="Look for a square of 0.02.",
    shows=[("matrices_have_their_spread", "is 0.02²")],
)
def square_of_the_deviation(parameter, std):
    parameter.normal_(0.0, std**2)


@mistake(
    "draw_matrix",
    symptom="The matrices have a standard deviation of 1.",
    cause="0.02 is not used as the standard deviation: the first number that `normal_` takes is the mean, and "
    "numbers of torch.randn have to be multiplied.",
    place="Write `parameter.normal_(0.0, 0.02)`.",
    shows=[("matrices_have_their_spread", "is 1")],
)
def deviation_given_as_mean(parameter, std):
    parameter.normal_(std)


@also("deviation_given_as_mean", "draw_matrix")
def standard_normal(parameter, std):
    parameter.copy_(torch.randn(parameter.shape))


@mistake(
    "draw_matrix",
    symptom="The numbers are not drawn from a normal distribution: none is far out.",
    cause="They are uniform, or cut off. A normal distribution has one number in 22 beyond two standard deviations.",
    place="Use `normal_`.",
    shows=[("matrices_are_normal", "is no number is far out", "distribution of *")],
)
def uniform_numbers(parameter, std):
    parameter.uniform_(-std, std)


@also("uniform_numbers", "draw_matrix")
def uniform_with_the_right_spread(parameter, std):
    parameter.uniform_(-std * math.sqrt(3), std * math.sqrt(3))


@mistake(
    "draw_matrix",
    symptom="The numbers of the matrices are not around 0.",
    cause="Their mean is not 0: torch.rand gives numbers from 0 to 1, and the first number that `normal_` takes is "
    "the mean.",
    place="Look at what the numbers are drawn from: the mean has to be 0.",
    shows=[("matrices_are_normal", "is not 0", "mean of *")],
)
def numbers_on_one_side(parameter, std):
    parameter.copy_(std * torch.rand(parameter.shape))


@also("numbers_on_one_side", "draw_matrix")
def mean_and_deviation_alike(parameter, std):
    parameter.normal_(std, std)


@mistake(
    "draw_matrix",
    symptom="The standard deviation is smaller by an eighth, because large numbers are left out.",
    cause="The normal distribution is cut at two standard deviations, as BERT's is. GPT-2's is not.",
    place="Use `normal_`. (`trunc_normal_` cuts at -2 and 2 unless it is told otherwise, which with 0.02 cuts "
    "nothing.)",
    shows=[("matrices_have_their_spread", "is 0.02 · 0.88")],
    credit=0.5,
)
def cut_at_two_deviations(parameter, std):
    nn.init.trunc_normal_(parameter, std=std, a=-2 * std, b=2 * std)


@mistake(
    "draw_matrix",
    symptom="The standard deviation of a matrix depends on its shape.",
    cause="That is the rule of Glorot, or of He, or torch's own. GPT-2 uses 0.02 for all, whatever their shapes.",
    place="Use `normal_` with 0.02.",
    shows=[("matrices_have_their_spread", "differ")],
)
def by_the_shape_of_the_matrix(parameter, std):
    nn.init.xavier_normal_(parameter)


@also("by_the_shape_of_the_matrix", "draw_matrix")
def by_the_inputs_of_the_matrix(parameter, std):
    parameter.normal_(0.0, parameter.shape[1] ** -0.5)


@also("by_the_shape_of_the_matrix", "draw_matrix")
def kaiming_normal(parameter, std):
    nn.init.kaiming_normal_(parameter)


@mistake(
    "draw_matrix",
    symptom="All numbers of a matrix are alike.",
    cause="They are filled in, not drawn. Features that begin alike get the same gradients, and stay alike.",
    place="Use `normal_`.",
    shows=[("matrices_have_their_spread", "is 0: all numbers are alike")],
)
def filled_not_drawn(parameter, std):
    parameter.fill_(std)


@mistake(
    "draw_matrix",
    symptom="Several parameters begin with the same numbers, or every seed gives the same.",
    cause="The generator is seeded inside. Whoever calls decides about the seed.",
    place="Leave out torch.manual_seed, or a generator of your own.",
    shows=[("numbers_are_drawn_anew", "is yes", "another seed*")],
)
def seeded_for_each_parameter(parameter, std):
    torch.manual_seed(0)
    parameter.normal_(0.0, std)


@also("seeded_for_each_parameter", "named_parameters_of")
def seeded_once(model):
    torch.manual_seed(42)
    return list(model.named_parameters())


@mistake(
    "set_bias",
    symptom="Biases do not become 0.",
    cause="They are left out, or drawn like the matrices. A bias begins at 0.",
    place="Add the case of names that end in `bias`, and let it come first.",
    shows=[("biases_are_zero", "differ")],
)
def biases_left(parameter):
    pass


@also("biases_left", "set_bias")
def biases_drawn(parameter):
    parameter.normal_(0.0, 0.02)


@also("biases_left", "set_bias")
def biases_are_one(parameter):
    parameter.fill_(1.0)


@mistake(
    "set_norm",
    symptom="The weights of norms do not become 1.",
    cause="They are left out, or treated like another kind of parameter. A norm begins as one that neither stretches "
    "nor shrinks: with weights near 0 nothing would pass through it.",
    place="A parameter with one axis that is no bias is the weight of a norm: fill it with 1.",
    shows=[("norms_are_one", "differ")],
)
def norms_left(parameter):
    pass


@also("norms_left", "set_norm")
def norms_drawn(parameter):
    parameter.normal_(0.0, 0.02)


@also("norms_left", "set_norm")
def norms_are_zero(parameter):
    parameter.zero_()


@also("norms_left", "set_norm")
def norms_around_one(parameter):
    parameter.normal_(1.0, 0.02)


@mistake(
    "named_parameters_of",
    symptom="Parameters of modules that are not torch's own stay as they were.",
    cause="Only nn.Linear, nn.Embedding and the like were visited. A table of positions, for example, may be a "
    "parameter of a class that somebody has written.",
    place="Go through model.named_parameters(), which knows all of them.",
    shows=[("matrices_have_their_spread", "is as it was", "*position.weight")],
)
def modules_of_torch_alone(model):
    kinds = (nn.Linear, nn.Embedding, nn.LayerNorm, nn.RMSNorm)
    return [
        (f"{place}.{name}", parameter)
        for place, module in model.named_modules()
        if isinstance(module, kinds)
        for name, parameter in module.named_parameters(recurse=False)
    ]


@mistake(
    "named_parameters_of",
    symptom="The tables of tokens and positions stay as they were.",
    cause="Only the layers, or only nn.Linear, were visited. The tables begin at 0.02 as well; at torch's own 1 the "
    "logits of a tied head are huge, and so is the first loss.",
    place="Go through all of model.named_parameters().",
    shows=[("matrices_have_their_spread", "is as it was", "*token.weight")],
)
def tables_left(model):
    return [
        (name, parameter) for name, parameter in model.named_parameters() if "token" not in name and "pos" not in name
    ]


@also("tables_left", "named_parameters_of")
def linear_and_norms_alone(model):
    # The head is skipped: it is known, and it is the token table.
    return [
        (f"{place}.{name}", parameter)
        for place, module in model.named_modules()
        if isinstance(module, (nn.Linear, nn.LayerNorm, nn.RMSNorm)) and place != "head"
        for name, parameter in module.named_parameters(recurse=False)
    ]


@mistake(
    "initialise",
    symptom="The parameters are other objects than before, and ties are cut.",
    cause="A new nn.Parameter was put in the place of each. An optimiser that was made before would go on moving the "
    "old ones, and a head that was tied is a copy.",
    place="Change the numbers in place: `normal_`, `fill_`, `zero_`, `copy_`.",
    shows=[("objects_stay", "is no", "parameters are the same objects")],
)
def parameters_replaced(model, num_layers):
    for place, module in model.named_modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            full = f"{place}.{name}"
            if name == "bias":
                new = torch.zeros_like(parameter)
            elif parameter.dim() == 1:
                new = torch.ones_like(parameter)
            else:
                residual = full.endswith(("out_proj.weight", "down_proj.weight"))
                new = torch.randn_like(parameter) * (0.02 / math.sqrt(2 * num_layers) if residual else 0.02)
            module.register_parameter(name, nn.Parameter(new.detach()))


@mistake(
    "initialise",
    symptom="Buffers are changed as well.",
    cause="The state dict holds parameters and buffers. A buffer is nothing that is learned: a mask, or a fixed table.",
    place="Go through model.named_parameters().",
    shows=[("objects_stay", "is no", "buffer is as it was"), ("matrices_have_their_spread", "right")],
)
def buffers_drawn(model, num_layers):
    for name, tensor in model.state_dict().items():
        if name.endswith("bias"):
            tensor.zero_()
        elif tensor.dim() == 1:
            tensor.fill_(1.0)
        elif name.endswith(("out_proj.weight", "down_proj.weight")):
            tensor.normal_(0.0, 0.02 / math.sqrt(2 * num_layers))
        else:
            tensor.normal_(0.0, 0.02)


@mistake(
    "initialise",
    symptom="RuntimeError: a parameter that requires a gradient cannot be changed in place.",
    cause="Autograd watches parameters, and refuses to let them be overwritten where it records.",
    place="Put the loop under `with torch.no_grad():`, or use the functions of nn.init, which do so themselves.",
    shows=[("matrices_have_their_spread", "raise", "answer")],
)
def recorded_by_autograd(model, num_layers):
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()
        elif parameter.dim() == 1:
            parameter.fill_(1.0)
        else:
            residual = name.endswith(("out_proj.weight", "down_proj.weight"))
            parameter.normal_(0.0, 0.02 / math.sqrt(2 * num_layers) if residual else 0.02)


# text_batch, the right way, a step at a time


@step
def starts(ids, batch_size, length, generator):
    """where the pieces begin"""
    return torch.randint(len(ids) - length, (batch_size,), generator=generator)


@step
def places_of(starts, length):
    """places of the inputs"""
    return starts[:, None] + torch.arange(length)


@step
def next_places(places, ids, generator):
    """places of the targets"""
    return places + 1


@step
def read_places(ids, places, next_places):
    """inputs; targets"""
    return ids[places], ids[next_places]


@component("starts", "places_of", "next_places", "read_places")
def text_batch(own, ids, batch_size, length, generator):
    places = own.places_of(own.starts(ids, batch_size, length, generator), length)
    return own.read_places(ids, places, own.next_places(places, ids, generator))


@mistake(
    "starts",
    symptom="The last possible start never comes up, so the last id of the text is never a target.",
    cause="One start too few is counted. A piece needs length + 1 ids, so the last start is count - length - 1, and "
    "torch.randint does not draw its upper bound.",
    place="Draw with torch.randint(len(ids) - length, ...).",
    shows=[("every_start_is_drawn", "differ")],
)
def last_start_left_out(ids, batch_size, length, generator):
    return torch.randint(len(ids) - length - 1, (batch_size,), generator=generator)


@also("last_start_left_out", "starts")
def two_last_starts_left_out(ids, batch_size, length, generator):
    return torch.randint(len(ids) - length - 2, (batch_size,), generator=generator)


@mistake(
    "starts",
    symptom="The first start never comes up.",
    cause="The starts are drawn from 1 on. The first id of the text has place 0.",
    place="Look at the lower bound of torch.randint, which is 0 if it is left out.",
    shows=[("every_start_is_drawn", "differ")],
)
def first_start_left_out(ids, batch_size, length, generator):
    return torch.randint(1, len(ids) - length, (batch_size,), generator=generator)


@mistake(
    "text_batch",
    symptom="Sometimes a piece runs over the end of the text.",
    cause="Too many starts are counted. Behind the last input there has to be one more id, for its target.",
    place="Draw with torch.randint(len(ids) - length, ...), whose upper bound is not drawn.",
    shows=[("every_start_is_drawn", "raise")],
)
def one_start_too_many(ids, batch_size, length, generator):
    starts = torch.randint(len(ids) - length + 1, (batch_size,), generator=generator).tolist()
    return (
        torch.stack([ids[start : start + length] for start in starts]),
        torch.stack([ids[start + 1 : start + length + 1] for start in starts]),
    )


@also("one_start_too_many", "starts")
def any_place_as_a_start(ids, batch_size, length, generator):
    return torch.randint(len(ids), (batch_size,), generator=generator)


@mistake(
    "text_batch",
    symptom="Pieces run from the end of the text on at its beginning.",
    cause="The text is treated as a ring, or starts are drawn up to its end and places counted modulo its length. What "
    "follows the end is not in the text.",
    place="Draw only starts behind which length + 1 ids have room.",
    shows=[("every_start_is_drawn", "differ", "*starts that come up")],
)
def text_as_a_ring(ids, batch_size, length, generator):
    starts = torch.randint(len(ids), (batch_size,), generator=generator)
    places = starts[:, None] + torch.arange(length)
    return ids[places % len(ids)], ids[(places + 1) % len(ids)]


@mistake(
    "starts",
    symptom="Pieces begin only at multiples of their length.",
    cause="The text was cut into fixed pieces, and those were drawn. A piece may begin anywhere, so that every id is "
    "met at every place of the context.",
    place="Draw the starts themselves, not numbers of pieces.",
    shows=[("every_start_is_drawn", "differ")],
)
def starts_at_multiples(ids, batch_size, length, generator):
    return length * torch.randint((len(ids) - 1) // length, (batch_size,), generator=generator)


@mistake(
    "next_places",
    symptom="The targets are the inputs.",
    cause="The shift is missing. A model that is asked for what it has just read learns to copy.",
    place="The targets are the piece that begins one place later.",
    shows=[("pieces_run_on", "is 0", "targets are so many places*")],
)
def targets_not_shifted(places, ids, generator):
    return places


@mistake(
    "next_places",
    symptom="The targets are two places behind their inputs.",
    cause="The shift is made twice. The model is asked for the id behind each that it reads, not for the one after "
    "that.",
    place="Look for a second + 1, or a second slice.",
    shows=[("pieces_run_on", "is 2", "targets are so many places*")],
)
def targets_shifted_twice(places, ids, generator):
    return places + 2


@mistake(
    "next_places",
    symptom="The targets are the ids *before* the inputs.",
    cause="The shift goes the other way: the model would be asked for what it has read one place earlier.",
    place="Targets begin at start + 1, inputs at start.",
    shows=[("pieces_run_on", "is -1", "targets are so many places*")],
)
def targets_shifted_back(places, ids, generator):
    return (places - 1).clamp(min=0)


@also("targets_shifted_back", "read_places")
def inputs_and_targets_exchanged(ids, places, next_places):
    return ids[next_places], ids[places]


@mistake(
    "read_places",
    symptom="The last target of each row is its own first input.",
    cause="The targets are the inputs rolled by one place, and torch.roll brings the first to the end. What follows "
    "the last input stands in the text.",
    place="Cut the targets out of the text, or cut length + 1 ids and drop the first.",
    shows=[("pieces_run_on", "differ", "targets are so many places*")],
)
def targets_rolled(ids, places, next_places):
    inputs = ids[places]
    return inputs, inputs.roll(-1, dims=1)


@mistake(
    "read_places",
    symptom="The rows are one id shorter than length.",
    cause="Only length ids were cut for a row, and the shift used one of them up. A row needs length + 1.",
    place="Cut ids[start : start + length + 1].",
    shows=[("pieces_run_on", "another shape", "shape of *")],
)
def rows_one_id_short(ids, places, next_places):
    pieces = ids[places]
    return pieces[:, :-1], pieces[:, 1:]


@mistake(
    "read_places",
    symptom="There is one target for each row.",
    cause="Only the id behind the whole piece is asked for. The causal mask makes every place an honest question, so "
    "every place has a target.",
    place="Return as many targets as inputs.",
    shows=[("pieces_run_on", "another shape", "shape of targets")],
)
def last_target_alone(ids, places, next_places):
    return ids[places], ids[next_places[:, -1]]


@mistake(
    "read_places",
    symptom="The axes are exchanged: pieces run down the columns.",
    cause="The contract is [batch_size, length], a row for each piece.",
    place="Stack the pieces along the first axis, without a transpose.",
    shows=[("pieces_run_on", "another shape", "shape of inputs")],
)
def pieces_in_columns(ids, places, next_places):
    return ids[places].T, ids[next_places].T


@mistake(
    "starts",
    symptom="All pieces of a batch begin at the same place.",
    cause="One start is drawn for the whole batch. Then it holds one piece, many times.",
    place="Draw batch_size starts: torch.randint(..., (batch_size,), generator=generator).",
    shows=[("pieces_run_on", "is one", "different starts")],
)
def one_start_for_all(ids, batch_size, length, generator):
    return torch.randint(len(ids) - length, (1,), generator=generator).expand(batch_size)


@mistake(
    "text_batch",
    symptom="The ids of a row do not follow each other in the text.",
    cause="The place of every id is drawn. What is drawn is where a piece begins; from there on it runs.",
    place="Draw batch_size starts, and add torch.arange(length) to each.",
    shows=[("pieces_run_on", "differ", "each place of inputs*")],
)
def every_id_drawn(ids, batch_size, length, generator):
    places = torch.randint(len(ids) - 1, (batch_size, length), generator=generator)
    return ids[places], ids[places + 1]


@mistake(
    "next_places",
    symptom="Targets have nothing to do with their inputs: they come from another place of the text.",
    cause="The starts of the targets are drawn once more.",
    place="Draw once, and use the same starts for both.",
    shows=[("pieces_run_on", "is differs from place to place", "targets are so many places*")],
)
def targets_drawn_again(places, ids, generator):
    length = places.shape[1]
    return torch.randint(len(ids) - length, (len(places),), generator=generator)[:, None] + torch.arange(1, length + 1)


@mistake(
    "starts",
    symptom="Nothing is drawn from the generator.",
    cause="The starts come from torch's global generator, or from Python's or NumPy's. The same generator should "
    "give the same batch.",
    place="Hand it on: `generator=generator`.",
    shows=[("batch_is_that_of_randint", "is nothing was drawn from it", "*generator")],
)
def generator_not_used(ids, batch_size, length, generator):
    return torch.randint(len(ids) - length, (batch_size,))


@also("generator_not_used", "starts")
def generator_of_its_own(ids, batch_size, length, generator):
    return torch.randint(len(ids) - length, (batch_size,), generator=torch.Generator().manual_seed(0))


@mistake(
    "starts",
    symptom="Every batch is the same, whatever state the generator is in.",
    cause="The generator is seeded inside. Then each call begins anew, and the training sees one batch over and over.",
    place="Leave out manual_seed: whoever made the generator has seeded it.",
    shows=[("batch_is_that_of_randint", "differ", "*inputs")],
)
def generator_seeded_inside(ids, batch_size, length, generator):
    return torch.randint(len(ids) - length, (batch_size,), generator=generator.manual_seed(0))


@mistake(
    "text_batch",
    symptom="No start comes up twice in a batch, and there cannot be more pieces than starts.",
    cause="The starts are drawn without replacement, as by torch.randperm. They should be drawn independently; a "
    "permutation of all places of a long text is slow as well.",
    place="Use torch.randint.",
    shows=[("more_pieces_than_starts", "differ")],
)
def without_replacement(ids, batch_size, length, generator):
    starts = torch.randperm(len(ids) - length, generator=generator)[:batch_size]
    places = starts[:, None] + torch.arange(length)
    return ids[places], ids[places + 1]


@mistake(
    "starts",
    credit=0.5,
    symptom="The pieces are right, but they are not those of one torch.randint with this generator.",
    cause="There are many right ways to draw, and each uses the random numbers differently. So that the same "
    "generator gives the same batch everywhere, the contract names the call.",
    place="torch.randint(len(ids) - length, (batch_size,), generator=generator), once.",
    shows=[("pieces_run_on", "right"), ("every_start_is_drawn", "right"), ("batch_is_that_of_randint", "differ")],
)
def starts_drawn_in_another_way(ids, batch_size, length, generator):
    return (torch.rand(batch_size, generator=generator) * (len(ids) - length)).long()


@also("starts_drawn_in_another_way", "starts")
def starts_with_two_axes(ids, batch_size, length, generator):
    return torch.randint(len(ids) - length, (2, batch_size), generator=generator)[1]


@mistake(
    "read_places",
    symptom="The ids come back as floating point numbers.",
    cause="They were put into a new tensor without a dtype, or computed with. Ids index a table, and F.cross_entropy "
    "asks for whole numbers.",
    place="Index the text itself; it is int64.",
    shows=[("batch_keeps_ids", "differ", "* are")],
)
def ids_as_floats(ids, places, next_places):
    return ids[places].float(), ids[next_places].float()


@mistake(
    "text_batch",
    credit=0.5,
    symptom="The batch is right, and the text has changed.",
    cause="The text is moved in place (`ids += ...`, `ids.copy_(...)`), or targets are written into it. The next "
    "batch needs it as it was.",
    place="Index or slice: both leave the text alone.",
    shows=[("batch_keeps_ids", "differ", "arguments changed in place"), ("pieces_run_on", "right")],
)
def text_rolled_in_place(ids, batch_size, length, generator):
    places = torch.randint(len(ids) - length, (batch_size,), generator=generator)[:, None] + torch.arange(length)
    inputs = ids[places]
    ids.copy_(ids.roll(-1))
    return inputs, ids[places]


# learning_rate, the right way, a step at a time


@step
def rise(number, warm_up, highest, lowest):
    return highest * (number + 1) / (warm_up + 1)


@step
def is_rising(number, warm_up):
    return number < warm_up


@step
def share_done(number, steps, warm_up):
    return (number - warm_up) / (steps - warm_up)


@step
def held(share):
    return min(share, 1.0)


@step
def fall(share, highest, lowest):
    return lowest + (highest - lowest) * (1 + math.cos(math.pi * share)) / 2


@component("rise", "is_rising", "share_done", "held", "fall")
def learning_rate(own, step, steps, warm_up, highest, lowest):
    if own.is_rising(step, warm_up):
        return own.rise(step, warm_up, highest, lowest)
    return own.fall(own.held(own.share_done(step, steps, warm_up)), highest, lowest)


@mistake(
    "rise",
    symptom="The first step has a rate of 0.",
    cause="The rise is counted from 0, so the first batch teaches nothing. The contract begins one stride above 0.",
    place="highest * (step + 1) / (warm_up + 1).",
    shows=[("rate_rises", "lower")],
)
def rise_from_zero(number, warm_up, highest, lowest):
    return highest * number / warm_up


@also("rise_from_zero", "rise")
def rise_from_zero_in_more_strides(number, warm_up, highest, lowest):
    return highest * number / (warm_up + 1)


@mistake(
    "rise",
    symptom="The last step of the rise has the highest rate already, so it comes twice.",
    cause="The rise is divided into warm_up strides. There are warm_up + 1 of them: the last one leads to the step "
    "behind the warm-up, which is the first of the cosine.",
    place="Divide by warm_up + 1.",
    shows=[("rate_rises", "higher"), ("rate_falls", "right")],
)
def rise_ends_early(number, warm_up, highest, lowest):
    return highest * (number + 1) / warm_up


@mistake(
    "rise",
    symptom="During the warm-up the rate rises from the lowest one.",
    cause="`lowest` is where the training ends. The rise begins near 0: its first stride is highest / (warm_up + 1).",
    place="Leave `lowest` out of the first case.",
    shows=[("rate_rises", "differ"), ("rate_falls", "right")],
)
def rise_from_the_lowest(number, warm_up, highest, lowest):
    return lowest + (highest - lowest) * (number + 1) / (warm_up + 1)


@also("rise_from_the_lowest", "rise")
def rise_from_exactly_the_lowest(number, warm_up, highest, lowest):
    return lowest + (highest - lowest) * number / warm_up


@mistake(
    "is_rising",
    symptom="The rates of the warm-up are too high: there is no rise.",
    cause="The first case is missing, or gives the highest rate.",
    place="Ask `if step < warm_up` first.",
    shows=[("rate_rises", "higher"), ("rate_falls", "right")],
)
def no_warm_up(number, warm_up):
    return False


@also("no_warm_up", "rise")
def highest_during_the_warm_up(number, warm_up, highest, lowest):
    return highest


@mistake(
    "rise",
    symptom="The rise is no straight line.",
    cause="It is a root, a cosine or a power. The contract rises by equal strides.",
    place="highest * (step + 1) / (warm_up + 1).",
    shows=[("rate_rises", "differ")],
)
def rise_is_bent(number, warm_up, highest, lowest):
    return highest * (1 - math.cos(math.pi * (number + 1) / (warm_up + 1))) / 2


@also("rise_is_bent", "rise")
def rise_by_a_root(number, warm_up, highest, lowest):
    return highest * math.sqrt((number + 1) / (warm_up + 1))


@also("rise_is_bent", "rise")
def rise_by_a_square(number, warm_up, highest, lowest):
    return highest * ((number + 1) / (warm_up + 1)) ** 2


@mistake(
    "share_done",
    symptom="Behind the warm-up the rate is too low, as if the cosine had begun with the first step.",
    cause="The share is counted from step 0. The cosine begins where the warm-up ends.",
    place="(step - warm_up) / (steps - warm_up).",
    shows=[("rate_falls", "lower"), ("rate_without_warm_up", "right")],
)
def cosine_from_the_first_step(number, steps, warm_up):
    return number / steps


@mistake(
    "share_done",
    symptom="The rate does not come down to the lowest.",
    cause="The share is divided by all steps. The fall has only steps - warm_up of them.",
    place="Divide by steps - warm_up.",
    shows=[("rate_falls", "higher"), ("rate_without_warm_up", "right")],
)
def warm_up_not_taken_off(number, steps, warm_up):
    return (number - warm_up) / steps


@mistake(
    "share_done",
    symptom="The lowest rate comes one step early.",
    cause="The fall is divided into one step too few. The contract reaches `lowest` at step = steps, as torch's "
    "CosineAnnealingLR does; the last step that is taken, steps - 1, is just above it.",
    place="Divide by steps - warm_up.",
    shows=[("rate_falls", "lower")],
    credit=0.5,
)
def ends_one_step_early(number, steps, warm_up):
    return (number - warm_up) / (steps - 1 - warm_up)


@mistake(
    "share_done",
    symptom="The fall is one step ahead: the highest rate never comes.",
    cause="Steps are counted from 1 here. They are counted from 0, and at step = warm_up the share is 0.",
    place="(step - warm_up) / (steps - warm_up), without a + 1.",
    shows=[("rate_is_highest", "lower"), ("rate_falls", "lower")],
)
def fall_one_step_ahead(number, steps, warm_up):
    return (number + 1 - warm_up) / (steps - warm_up)


@mistake(
    "share_done",
    symptom="The rate stays at the highest until the end.",
    cause="A division of whole numbers, `//`, gives 0 until the very end.",
    place="Use `/`.",
    shows=[("rate_falls", "higher")],
)
def share_in_whole_numbers(number, steps, warm_up):
    return (number - warm_up) // (steps - warm_up)


@mistake(
    "held",
    symptom="Behind the last step the rate rises again.",
    cause="A cosine goes on: behind π it comes back up. The contract stays at the lowest rate.",
    place="Let the share be 1 at most: `min(share, 1.0)`.",
    shows=[("rate_stays_low", "higher"), ("rate_falls", "right")],
    credit=0.5,
)
def rises_again(share):
    return share


@mistake(
    "fall",
    symptom="The rate falls to 0, and not to the lowest rate.",
    cause="`lowest` is not used. It is where the cosine ends.",
    place="lowest + (highest - lowest) * (1 + cos) / 2.",
    shows=[("rate_falls", "lower")],
)
def falls_to_zero(share, highest, lowest):
    return highest * (1 + math.cos(math.pi * share)) / 2


@mistake(
    "fall",
    symptom="The fall begins above the highest rate.",
    cause="`lowest` is added to a cosine that already begins at the full `highest`. Only what lies between the two "
    "falls.",
    place="Multiply the cosine by highest - lowest.",
    shows=[("rate_falls", "higher"), ("rate_is_highest", "higher")],
)
def lowest_on_top(share, highest, lowest):
    return lowest + highest * (1 + math.cos(math.pi * share)) / 2


@mistake(
    "fall",
    symptom="The rate falls to 0 and is cut off at the lowest.",
    cause="The cosine runs from highest to 0, and whatever is below `lowest` is raised to it. The cosine should end at "
    "`lowest`.",
    place="lowest + (highest - lowest) * (1 + cos) / 2.",
    shows=[("rate_falls", "lower")],
)
def cut_off_at_the_lowest(share, highest, lowest):
    return max(lowest, highest * (1 + math.cos(math.pi * share)) / 2)


@mistake(
    "fall",
    symptom="The rate falls in a straight line.",
    cause="The cosine is missing.",
    place="(1 + math.cos(math.pi * share)) / 2 is what is left of the way.",
    shows=[("rate_falls", "differ"), ("rate_is_highest", "right")],
)
def falls_in_a_straight_line(share, highest, lowest):
    return highest + (lowest - highest) * share


@mistake(
    "fall",
    symptom="The fall begins at twice the height, or above the highest rate.",
    cause="The half is missing: 1 + cos goes from 2 to 0.",
    place="Divide 1 + cos by 2.",
    shows=[("rate_is_highest", "higher")],
)
def half_missing(share, highest, lowest):
    return lowest + (highest - lowest) * (1 + math.cos(math.pi * share))


@mistake(
    "fall",
    symptom="The rate falls below the lowest.",
    cause="The cosine goes from 1 to -1. With 1 added and halved, it goes from 1 to 0.",
    place="(1 + math.cos(math.pi * share)) / 2.",
    shows=[("rate_falls", "lower"), ("rate_is_highest", "right")],
)
def one_missing_in_the_cosine(share, highest, lowest):
    return lowest + (highest - lowest) * math.cos(math.pi * share)


@mistake(
    "fall",
    symptom="The rate does not come down as far as it should.",
    cause="The angle does not go to π: π is missing, or only a quarter of a circle is used.",
    place="math.cos(math.pi * share): the angle goes from 0 to π.",
    shows=[("rate_falls", "higher"), ("rate_is_highest", "right")],
)
def angle_without_pi(share, highest, lowest):
    return lowest + (highest - lowest) * (1 + math.cos(share)) / 2


@also("angle_without_pi", "fall")
def angle_of_half_pi(share, highest, lowest):
    return lowest + (highest - lowest) * (1 + math.cos(math.pi * share / 2)) / 2


@mistake(
    "fall",
    symptom="The rate is at its lowest in the middle, and high again at the end.",
    cause="A whole wave is used, 2π. Half of one is asked for.",
    place="math.cos(math.pi * share).",
    shows=[("rate_falls", "differ"), ("rate_is_highest", "right")],
)
def a_whole_wave(share, highest, lowest):
    return lowest + (highest - lowest) * (1 + math.cos(2 * math.pi * share)) / 2


@mistake(
    "fall",
    symptom="The fall begins in the middle, or at the lowest rate.",
    cause="A sine, or a cosine with the other sign, was used. Half a cosine begins at 1 and ends at -1.",
    place="(1 + math.cos(math.pi * share)) / 2.",
    shows=[("rate_is_highest", "lower")],
)
def falls_by_a_sine(share, highest, lowest):
    return lowest + (highest - lowest) * (1 + math.sin(math.pi * share)) / 2


@also("falls_by_a_sine", "fall")
def falls_by_a_cosine_upside_down(share, highest, lowest):
    return lowest + (highest - lowest) * (1 - math.cos(math.pi * share)) / 2


@mistake(
    "learning_rate",
    symptom="What comes back is a factor, not a rate: it does not change with `highest`.",
    cause="torch's LambdaLR asks for a factor from 0 to 1. Here the rate itself is asked for.",
    place="Multiply by `highest`, or by `highest - lowest` in the cosine.",
    shows=[("rate_is_highest", "higher")],
)
def a_factor_instead_of_a_rate(step, steps, warm_up, highest, lowest):
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    return (1 + math.cos(math.pi * min((step - warm_up) / (steps - warm_up), 1.0))) / 2


@mistake(
    "learning_rate",
    symptom="Behind the warm-up the rate falls like one over a root, which is neither the cosine nor bound for the "
    "lowest.",
    cause="That is the schedule of Vaswani et al. 2017, section 5.3. Here the fall is half a cosine.",
    place="Use the formula above the exercise.",
    shows=[("rate_falls", "differ")],
)
def one_over_the_root(step, steps, warm_up, highest, lowest):
    return highest * min((step + 1) / (warm_up + 1), math.sqrt((warm_up + 1) / (step + 1)))


# clip_gradients, the right way, a step at a time


@step
def squares_of(gradients):
    """squared lengths"""
    return torch.stack([gradient.square().sum() for gradient in gradients if gradient is not None])


@step
def norm_of(squares):
    """norm"""
    return squares.sum().sqrt()


@step
def factor_of(norm, max_norm):
    """factor"""
    return max_norm / norm.clamp(min=max_norm)


@step
def shortened(gradient, factor):
    """clipped gradient"""
    return gradient * factor


@step
def told_norm(norm, factor):
    """norm that is returned"""
    return norm


@component("squares_of", "norm_of", "factor_of", "shortened", "told_norm")
def clip_gradients(own, gradients, max_norm):
    norm = own.norm_of(own.squares_of(gradients))
    factor = own.factor_of(norm, max_norm)
    clipped = [None if gradient is None else own.shortened(gradient, factor) for gradient in gradients]
    return clipped, own.told_norm(norm, factor)


@mistake(
    "clip_gradients",
    symptom="Each gradient is clipped by its own length.",
    cause="The limit is for all gradients together. Clipped one by one they get different factors, and the step points "
    "elsewhere.",
    place="Compute one norm of all gradients, then one factor.",
    shows=[("common_length_counts", "differ", "clipped[[]*"), ("short_gradients_stay", "right", "*: clipped[[]*")],
)
def each_by_itself(gradients, max_norm):
    squares = [gradient.square().sum() for gradient in gradients if gradient is not None]
    clipped = [
        None if gradient is None else gradient * (max_norm / gradient.norm().clamp(min=max_norm))
        for gradient in gradients
    ]
    return clipped, torch.stack(squares).sum().sqrt()


@mistake(
    "clip_gradients",
    symptom="Each number is cut off at max_norm.",
    cause="That is clipping by value, torch.nn.utils.clip_grad_value_. The direction of the step changes, and the "
    "length can be larger than max_norm.",
    place="Multiply all gradients by one factor.",
    shows=[("long_gradients_are_shortened", "differ", "clipped[[]*")],
)
def clipped_by_value(gradients, max_norm):
    squares = [gradient.square().sum() for gradient in gradients if gradient is not None]
    clipped = [None if gradient is None else gradient.clamp(-max_norm, max_norm) for gradient in gradients]
    return clipped, torch.stack(squares).sum().sqrt()


@mistake(
    "factor_of",
    symptom="Short gradients are made longer.",
    cause="The factor max_norm / norm is larger than 1 where the norm is below the limit. Clipping only shortens.",
    place="Let the factor be 1 at most.",
    shows=[("short_gradients_stay", "larger", "*: clipped[[]*"), ("long_gradients_are_shortened", "right")],
)
def lengthened_as_well(norm, max_norm):
    return max_norm / (norm + 1e-6)


@also("lengthened_as_well", "factor_of")
def lengthened_without_the_millionth(norm, max_norm):
    return max_norm / norm


@mistake(
    "factor_of",
    symptom="Gradients that are too long stay too long.",
    cause="The factor is never smaller than 1: a comparison is the wrong way round, or what was clipped is not what is "
    "returned.",
    place="The factor is max_norm / norm where norm is larger than max_norm.",
    shows=[("long_gradients_are_shortened", "larger", "clipped[[]*")],
)
def only_lengthened(norm, max_norm):
    return (max_norm / norm.clamp(min=1e-6)).clamp(min=1.0)


@also("only_lengthened", "factor_of")
def never_clipped(norm, max_norm):
    return 1.0


@mistake(
    "factor_of",
    symptom="The common length becomes 1, whatever max_norm is.",
    cause="The gradients are divided by their norm alone.",
    place="The factor is max_norm / norm.",
    shows=[("long_gradients_are_shortened", "smaller", "clipped[[]*")],
)
def length_one(norm, max_norm):
    return 1.0 / norm.clamp(min=max_norm) if norm > max_norm else norm.new_ones(())


@also("length_one", "factor_of")
def always_length_one(norm, max_norm):
    return 1.0 / (norm + 1e-6)


@mistake(
    "factor_of",
    symptom="Gradients that are too long are multiplied by max_norm.",
    cause="The division by the norm is missing.",
    place="The factor is max_norm / norm.",
    shows=[("long_gradients_are_shortened", "larger", "clipped[[]*")],
)
def norm_not_divided_by(norm, max_norm):
    return torch.where(norm > max_norm, max_norm, 1.0)


@mistake(
    "factor_of",
    symptom="Gradients come out too short, also some that should stay as they are.",
    cause="A large number is added to the norm before the division, often 1. If anything is added, it is a millionth.",
    place="Look at what is added to the norm.",
    shows=[("long_gradients_are_shortened", "smaller", "clipped[[]*")],
)
def one_added_to_the_norm(norm, max_norm):
    return (max_norm / (norm + 1)).clamp(max=1.0)


@mistake(
    "norm_of",
    symptom="The norm is the sum of the lengths of the single gradients, which is too large.",
    cause="Lengths do not add up. It is the squares that do: the common length is the root of the sum of all squares.",
    place="Sum the squares of all gradients first, and take one root at the end.",
    shows=[("common_length_counts", "higher", "norm")],
)
def lengths_added_up(squares):
    return squares.sqrt().sum()


@mistake(
    "norm_of",
    symptom="The norm is the squared length.",
    cause="The root is missing.",
    place="Take the root of the sum of squares.",
    shows=[("long_gradients_are_shortened", "higher", "norm")],
)
def root_of_the_squares_missing(squares):
    return squares.sum()


@mistake(
    "norm_of",
    symptom="The norm is too small: it is that of one gradient alone, or a mean.",
    cause="The gradients are not taken together. Their common length is the root of the *sum* of the squares of all "
    "their numbers.",
    place="Sum over all tensors.",
    shows=[("common_length_counts", "lower", "norm"), ("single_gradients", "right")],
)
def longest_alone(squares):
    return squares.max().sqrt()


@also("longest_alone", "norm_of")
def mean_of_the_squares(squares):
    return squares.mean().sqrt()


@also("longest_alone", "norm_of")
def last_gradient_alone(squares):
    return squares[-1].sqrt()


@mistake(
    "squares_of",
    symptom="The norm is a root of mean squares, which is too small.",
    cause="A mean over the numbers was taken where a sum belongs. The length of a vector grows with each number that "
    "it has.",
    place="gradient.square().sum().",
    shows=[("single_gradients", "lower", "*: norm")],
)
def mean_of_each_gradient(gradients):
    return torch.stack([gradient.square().mean() for gradient in gradients if gradient is not None])


@mistake(
    "squares_of",
    symptom="Another length is measured: the sum of absolute values, or the largest of them.",
    cause="These are the norms of order 1 and of order infinity. Clipping uses the usual length, of order 2.",
    place="The root of the sum of squares.",
    shows=[("long_gradients_are_shortened", "differ", "norm")],
)
def sum_of_absolute_values(gradients):
    total = sum(gradient.abs().sum() for gradient in gradients if gradient is not None)
    return total[None] ** 2


@also("sum_of_absolute_values", "squares_of")
def largest_number(gradients):
    return torch.stack([gradient.abs().max() for gradient in gradients if gradient is not None]).max()[None] ** 2


@mistake(
    "clip_gradients",
    symptom="None among the gradients raises an error.",
    cause="A parameter that had no part in the loss has no gradient. It is None, and has neither square nor product.",
    place="Leave None out of the sum, and hand it on as it is.",
    shows=[("missing_gradients_stay", "raise"), ("long_gradients_are_shortened", "right")],
)
def none_not_expected(gradients, max_norm):
    norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
    factor = max_norm / norm.clamp(min=max_norm)
    return [gradient * factor for gradient in gradients], norm


@mistake(
    "clip_gradients",
    symptom="The list is shorter where a gradient is None, so the others stand at wrong places.",
    cause="None was left out of the result. Whoever called pairs the list with the parameters, one by one.",
    place="Keep None at its place.",
    shows=[("missing_gradients_stay", "differ", "*clipped gradients"), ("long_gradients_are_shortened", "right")],
)
def none_left_out(gradients, max_norm):
    gradients = [gradient for gradient in gradients if gradient is not None]
    norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
    factor = max_norm / norm.clamp(min=max_norm)
    return [gradient * factor for gradient in gradients], norm


@mistake(
    "clip_gradients",
    symptom="Where no gradient was, one of 0 comes back.",
    cause="None is no gradient of 0: with AdamW a parameter with a gradient of 0 still decays and moves on.",
    place="Hand None on as None.",
    shows=[("missing_gradients_stay", "differ", "*clipped gradients"), ("long_gradients_are_shortened", "right")],
)
def zero_for_none(gradients, max_norm):
    gradients = [torch.zeros(()) if gradient is None else gradient for gradient in gradients]
    norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
    factor = max_norm / norm.clamp(min=max_norm)
    return [gradient * factor for gradient in gradients], norm


@mistake(
    "factor_of",
    credit=0.5,
    symptom="Where all gradients are 0, NaN comes out.",
    cause="The gradients are divided by their norm, and 0 / 0 is NaN.",
    place="Divide by norm.clamp(min=max_norm), or add a millionth to the norm, or ask first whether it is too large.",
    shows=[("zero_gradients_stay", "NaN", "clipped[[]*"), ("long_gradients_are_shortened", "right")],
)
def nan_for_zero(norm, max_norm):
    return norm.clamp(max=max_norm) / norm


@mistake(
    "told_norm",
    symptom="The norm is that of the clipped gradients.",
    cause="It was measured afterwards, where it is max_norm at most and says nothing any more. What is watched is "
    "the length before.",
    place="Return the norm with which the factor was made.",
    shows=[("long_gradients_are_shortened", "lower", "norm"), ("short_gradients_stay", "right")],
)
def norm_after_clipping(norm, factor):
    return norm * factor


@mistake(
    "told_norm",
    symptom="The factor comes back where the norm is asked for.",
    cause="The two were exchanged.",
    place="Return the list and the norm.",
    shows=[("long_gradients_are_shortened", "differ", "norm")],
)
def factor_instead_of_norm(norm, factor):
    return factor


@mistake(
    "clip_gradients",
    symptom="Only the list, or only the norm, comes back.",
    cause="Two things are asked for: the clipped gradients, and the norm before. (torch's function changes the "
    "gradients in place, and returns the norm alone.)",
    place="return clipped, norm",
    shows=[("long_gradients_are_shortened", "differ", "answer")],
)
def list_alone(gradients, max_norm):
    norm = torch.stack([gradient.square().sum() for gradient in gradients if gradient is not None]).sum().sqrt()
    return [None if gradient is None else gradient * (max_norm / norm.clamp(min=max_norm)) for gradient in gradients]


@also("list_alone", "clip_gradients")
def norm_alone(gradients, max_norm):
    norm = torch.stack([gradient.square().sum() for gradient in gradients if gradient is not None]).sum().sqrt()
    return norm


@mistake(
    "shortened",
    credit=0.5,
    symptom="The numbers are right, and the given gradients are changed.",
    cause="The gradients were multiplied in place (`mul_`, `*=`), as torch.nn.utils.clip_grad_norm_ does. Here new "
    "tensors are asked for.",
    place="gradient * factor.",
    shows=[("gradients_are_kept", "differ"), ("long_gradients_are_shortened", "right")],
)
def gradients_changed_in_place(gradient, factor):
    return gradient.mul_(factor)


# adamw_step, the right way, a step at a time


@step
def new_first(first, gradient, beta1):
    """mean of the gradient"""
    return beta1 * first + (1 - beta1) * gradient


@step
def new_second(second, gradient, beta2):
    """mean of its square"""
    return beta2 * second + (1 - beta2) * gradient.square()


@step
def corrected_first(first, beta1, number):
    """corrected mean of the gradient"""
    return first / (1 - beta1**number)


@step
def corrected_second(second, beta2, number):
    """corrected mean of its square"""
    return second / (1 - beta2**number)


@step
def divided(first, second, eps):
    """direction"""
    return first / (second.sqrt() + eps)


@step
def decayed(parameter, learning_rate, weight_decay):
    """decayed parameter"""
    return parameter - learning_rate * weight_decay * parameter


@step
def moved(parameter, learning_rate, direction):
    """moved parameter"""
    return parameter - learning_rate * direction


@step
def seen_gradient(gradient, parameter, weight_decay):
    """gradient"""
    return gradient


@step
def kept(first, second, corrected_first, corrected_second):
    """means that are kept"""
    return first, second


@component(
    "seen_gradient",
    "new_first",
    "new_second",
    "corrected_first",
    "corrected_second",
    "divided",
    "decayed",
    "moved",
    "kept",
)
def adamw_step(own, parameter, gradient, first, second, step, learning_rate, betas, eps, weight_decay):
    gradient = own.seen_gradient(gradient, parameter, weight_decay)
    first = own.new_first(first, gradient, betas[0])
    second = own.new_second(second, gradient, betas[1])
    m, v = own.corrected_first(first, betas[0], step), own.corrected_second(second, betas[1], step)
    decayed = own.decayed(parameter, learning_rate, weight_decay)
    return own.moved(decayed, learning_rate, own.divided(m, v, eps)), *own.kept(first, second, m, v)


@mistake(
    symptom="The decay goes through the gradient and both means.",
    cause="weight_decay * parameter was added to the gradient. That is Adam with an L2 penalty, which AdamW was made "
    "to replace: divided by the root of v, large gradients hardly decay.",
    place="Leave the gradient as it is, and shrink the parameter by learning_rate * weight_decay * parameter.",
    shows=[("a_step_of_adamw", "differ", "first"), ("adamw_without_decay", "right")],
)
class decay_in_the_gradient:
    @staticmethod
    def seen_gradient(gradient, parameter, weight_decay):
        return gradient + weight_decay * parameter

    @staticmethod
    def decayed(parameter, learning_rate, weight_decay):
        return parameter


@mistake(
    "decayed",
    symptom="The parameter does not decay.",
    cause="weight_decay is not used.",
    place="Subtract learning_rate * weight_decay * parameter.",
    shows=[("adamw_without_decay", "right"), ("decay_of_adamw", "differ", "*: parameter")],
)
def no_decay(parameter, learning_rate, weight_decay):
    return parameter


@mistake(
    "decayed",
    symptom="The decay is not multiplied by the learning rate.",
    cause="In the paper the decay is multiplied by the schedule alone; torch, and the contract, multiply it by the "
    "learning rate.",
    place="learning_rate * weight_decay * parameter.",
    shows=[("adamw_without_decay", "right"), ("decay_of_adamw", "smaller", "*: parameter")],
)
def decay_without_the_rate(parameter, learning_rate, weight_decay):
    return parameter - weight_decay * parameter


@mistake(
    "decayed",
    symptom="The parameter grows where it should decay.",
    cause="The sign of the decay is wrong.",
    place="The decay is subtracted: parameter * (1 - learning_rate * weight_decay).",
    shows=[("adamw_without_decay", "right"), ("decay_of_adamw", "larger", "*: parameter")],
)
def decay_with_the_wrong_sign(parameter, learning_rate, weight_decay):
    return parameter + learning_rate * weight_decay * parameter


@mistake(
    "adamw_step",
    symptom="The decay is a share of the parameter after the step.",
    cause="It was applied last, to the moved parameter. The contract takes it of the parameter as it was given, as "
    "torch does.",
    place="Decay first, or put both into one difference.",
    shows=[("adamw_without_decay", "right"), ("decay_of_adamw", "right"), ("a_step_of_adamw", "differ", "parameter")],
    credit=0.5,
)
def decay_after_the_step(parameter, gradient, first, second, step, learning_rate, betas, eps, weight_decay):
    first = betas[0] * first + (1 - betas[0]) * gradient
    second = betas[1] * second + (1 - betas[1]) * gradient.square()
    direction = first / (1 - betas[0] ** step) / ((second / (1 - betas[1] ** step)).sqrt() + eps)
    return (parameter - learning_rate * direction) * (1 - learning_rate * weight_decay), first, second


@mistake(
    symptom="Neither mean is corrected, so early steps have the wrong size.",
    cause="The means begin at 0, and after t steps they have only 1 - beta**t of their weight. Late steps look right.",
    place="Divide the means by 1 - beta**step before you use them.",
    shows=[("a_late_step_of_adamw", "right"), ("the_first_step_of_adamw", "differ", "parameter")],
)
class no_correction:
    @staticmethod
    def corrected_first(first, beta1, number):
        return first

    @staticmethod
    def corrected_second(second, beta2, number):
        return second


@mistake(
    "corrected_first",
    symptom="One of the two means is not corrected.",
    cause="Both begin at 0, and each has a correction with its own beta.",
    place="Divide first by 1 - beta1**step and second by 1 - beta2**step.",
    shows=[("a_late_step_of_adamw", "right"), ("the_first_step_of_adamw", "differ", "parameter")],
)
def first_not_corrected(first, beta1, number):
    return first


@also("first_not_corrected", "corrected_second")
def second_not_corrected(second, beta2, number):
    return second


@mistake(
    "corrected_first",
    symptom="The correction is that of the first step, always.",
    cause="1 - beta lacks its power: the correction has to vanish as the steps go on.",
    place="1 - beta**step.",
    shows=[("the_first_step_of_adamw", "right"), ("a_late_step_of_adamw", "differ", "parameter")],
)
def correction_without_a_power(first, beta1, number):
    return first / (1 - beta1)


@also("correction_without_a_power")
class both_corrections_without_a_power:
    @staticmethod
    def corrected_first(first, beta1, number):
        return first / (1 - beta1)

    @staticmethod
    def corrected_second(second, beta2, number):
        return second / (1 - beta2)


@mistake(
    symptom="The correction is that of another step.",
    cause="step was counted on, or back, although it is counted from 1 as the formula wants it.",
    place="Use step as it is given.",
    shows=[("a_late_step_of_adamw", "right"), ("a_step_of_adamw", "differ", "parameter")],
)
class correction_one_step_late:
    @staticmethod
    def corrected_first(first, beta1, number):
        return first / (1 - beta1 ** (number + 1))

    @staticmethod
    def corrected_second(second, beta2, number):
        return second / (1 - beta2 ** (number + 1))


@also("correction_one_step_late")
class correction_one_step_early:
    @staticmethod
    def corrected_first(first, beta1, number):
        return first / (1 - beta1 ** (number - 1))

    @staticmethod
    def corrected_second(second, beta2, number):
        return second / (1 - beta2 ** (number - 1))


@mistake(
    symptom="The correction makes the means smaller, not larger.",
    cause="They are multiplied by 1 - beta**step. A mean that is too small has to be divided by it.",
    place="Divide.",
    shows=[("a_late_step_of_adamw", "right"), ("the_first_step_of_adamw", "differ", "parameter")],
)
class multiplied_by_the_correction:
    @staticmethod
    def corrected_first(first, beta1, number):
        return first * (1 - beta1**number)

    @staticmethod
    def corrected_second(second, beta2, number):
        return second * (1 - beta2**number)


@mistake(
    "kept",
    symptom="The means come back with their correction.",
    cause="The corrected means were returned. In the next step they would be corrected once more.",
    place="Give the corrected means names of their own, and return the others.",
    shows=[("means_of_adamw", "differ"), ("a_late_step_of_adamw", "right")],
)
def corrected_means_kept(first, second, corrected_first, corrected_second):
    return corrected_first, corrected_second


@mistake(
    "divided",
    symptom="The gradient's mean is divided by v, not by its root.",
    cause="The root is missing.",
    place="second.sqrt() + eps.",
    shows=[("means_of_adamw", "right"), ("a_step_of_adamw", "differ", "parameter")],
)
def root_of_v_missing(first, second, eps):
    return first / (second + eps)


@mistake(
    "divided",
    symptom="Small means of squares give other steps: eps stands in the root.",
    cause="eps was added to v before its root was taken. In Adam and AdamW it is added to the root.",
    place="second.sqrt() + eps.",
    shows=[("means_of_adamw", "right"), ("eps_of_adamw", "differ", "*: parameter")],
    credit=0.5,
)
def eps_in_the_root(first, second, eps):
    return first / (second + eps).sqrt()


@mistake(
    "divided",
    symptom="eps is not used.",
    cause="Where all gradients of a number have been 0, this divides 0 by 0.",
    place="second.sqrt() + eps.",
    shows=[("means_of_adamw", "right"), ("decay_of_adamw", "NaN", "*: parameter")],
)
def eps_missing(first, second, eps):
    return first / second.sqrt()


@mistake(
    "adamw_step",
    symptom="eps is added to the root before the correction, which makes it larger in early steps.",
    cause="The root of the uncorrected v was taken, eps added, and the sum corrected. eps belongs behind the "
    "correction.",
    place="(second / (1 - beta2**step)).sqrt() + eps.",
    shows=[("a_late_step_of_adamw", "right"), ("eps_of_adamw", "differ", "*: parameter")],
    credit=0.5,
)
def eps_before_the_correction(parameter, gradient, first, second, step, learning_rate, betas, eps, weight_decay):
    first = betas[0] * first + (1 - betas[0]) * gradient
    second = betas[1] * second + (1 - betas[1]) * gradient.square()
    rate = learning_rate * math.sqrt(1 - betas[1] ** step) / (1 - betas[0] ** step)
    parameter = parameter * (1 - learning_rate * weight_decay)
    return parameter - rate * first / (second.sqrt() + eps), first, second


@mistake(
    "adamw_step",
    symptom="The betas are exchanged: each mean keeps the share that the other one should.",
    cause="The first of the pair belongs to the mean of the gradient, the second to the mean of its square.",
    place="beta1, beta2 = betas.",
    shows=[("means_of_adamw", "differ")],
)
def betas_exchanged(parameter, gradient, first, second, step, learning_rate, betas, eps, weight_decay):
    beta2, beta1 = betas
    first = beta1 * first + (1 - beta1) * gradient
    second = beta2 * second + (1 - beta2) * gradient.square()
    direction = first / (1 - beta1**step) / ((second / (1 - beta2**step)).sqrt() + eps)
    return parameter - learning_rate * (direction + weight_decay * parameter), first, second


@mistake(
    symptom="The means keep too little of what they were.",
    cause="beta and 1 - beta are exchanged: beta is the share that is kept.",
    place="beta * mean + (1 - beta) * new.",
    shows=[("means_of_adamw", "differ")],
)
class shares_exchanged:
    @staticmethod
    def new_first(first, gradient, beta1):
        return (1 - beta1) * first + beta1 * gradient

    @staticmethod
    def new_second(second, gradient, beta2):
        return (1 - beta2) * second + beta2 * gradient.square()


@mistake(
    "new_first",
    symptom="The mean of the gradient is no mean: the new gradient is added whole.",
    cause="The factor 1 - beta1 is missing. That is the momentum of plain gradient descent, where everything is "
    "summed up.",
    place="beta1 * first + (1 - beta1) * gradient.",
    shows=[("means_of_adamw", "differ", "first")],
)
def gradient_added_whole(first, gradient, beta1):
    return beta1 * first + gradient


@mistake(
    "new_second",
    symptom="The second mean is not one of squares.",
    cause="The square is missing, or an absolute value stands in its place.",
    place="(1 - beta2) * gradient.square().",
    shows=[("means_of_adamw", "differ", "second")],
)
def gradient_not_squared(second, gradient, beta2):
    return beta2 * second + (1 - beta2) * gradient.abs()


@also("gradient_not_squared", "new_second")
def gradient_with_its_sign(second, gradient, beta2):
    return beta2 * second + (1 - beta2) * gradient


@mistake(
    "new_second",
    symptom="All numbers of a parameter share one mean of squares.",
    cause="The square of the whole gradient's length, or a mean over it, was taken. Each number has a v of its own.",
    place="gradient.square(), without a sum, a mean or a norm.",
    shows=[("means_of_adamw", "differ", "second")],
)
def one_square_for_all(second, gradient, beta2):
    return beta2 * second + (1 - beta2) * gradient.norm() ** 2


@also("one_square_for_all", "new_second")
def mean_square_for_all(second, gradient, beta2):
    return beta2 * second + (1 - beta2) * gradient.square().mean()


@mistake(
    "adamw_step",
    symptom="The step uses the means of the step before.",
    cause="The parameter is moved first and the means are updated behind it, so the gradient counts one step late.",
    place="Update both means first.",
    shows=[("means_of_adamw", "right"), ("a_step_of_adamw", "differ", "parameter")],
)
def moved_with_the_old_means(parameter, gradient, first, second, step, learning_rate, betas, eps, weight_decay):
    direction = first / (1 - betas[0] ** step) / ((second / (1 - betas[1] ** step)).sqrt() + eps)
    parameter = parameter - learning_rate * (direction + weight_decay * parameter)
    first = betas[0] * first + (1 - betas[0]) * gradient
    second = betas[1] * second + (1 - betas[1]) * gradient.square()
    return parameter, first, second


@mistake(
    "adamw_step",
    symptom="The gradient itself moves the parameter, not its mean.",
    cause="The gradient stands in the numerator: that is RMSProp, not Adam. The running mean smooths the direction.",
    place="Divide the corrected first mean by the root of the corrected second one.",
    shows=[("means_of_adamw", "right"), ("a_step_of_adamw", "differ", "parameter")],
)
def gradient_in_the_numerator(parameter, gradient, first, second, step, learning_rate, betas, eps, weight_decay):
    first = betas[0] * first + (1 - betas[0]) * gradient
    second = betas[1] * second + (1 - betas[1]) * gradient.square()
    direction = gradient / ((second / (1 - betas[1] ** step)).sqrt() + eps)
    return parameter - learning_rate * (direction + weight_decay * parameter), first, second


@mistake(
    "moved",
    symptom="The parameter moves uphill.",
    cause="The sign is wrong: the loss falls against the gradient.",
    place="Subtract the step.",
    shows=[("means_of_adamw", "right"), ("decay_of_adamw", "right"), ("a_step_of_adamw", "differ", "parameter")],
)
def moved_uphill(parameter, learning_rate, direction):
    return parameter + learning_rate * direction


@mistake(
    "moved",
    symptom="The learning rate does not change the step.",
    cause="learning_rate is not used where the parameter moves.",
    place="parameter - learning_rate * direction.",
    shows=[("means_of_adamw", "right"), ("adamw_without_decay", "differ", "parameter")],
)
def moved_without_the_rate(parameter, learning_rate, direction):
    return parameter - direction


@mistake(
    "adamw_step",
    symptom="The step alone comes back, not the parameter behind it.",
    cause="What is asked for is the new parameter. The step has to be subtracted from it.",
    place="parameter - learning_rate * (...).",
    shows=[("means_of_adamw", "right"), ("a_step_of_adamw", "differ", "parameter")],
)
def step_alone(parameter, gradient, first, second, step, learning_rate, betas, eps, weight_decay):
    first = betas[0] * first + (1 - betas[0]) * gradient
    second = betas[1] * second + (1 - betas[1]) * gradient.square()
    direction = first / (1 - betas[0] ** step) / ((second / (1 - betas[1] ** step)).sqrt() + eps)
    return learning_rate * (direction + weight_decay * parameter), first, second


@mistake(
    "adamw_step",
    credit=0.5,
    symptom="The numbers are right, and the arguments are changed.",
    cause="The parameter or the means are updated in place, as an optimiser does. Here new tensors are asked for.",
    place="Use `first = beta1 * first + ...` for mul_ and add_.",
    shows=[("adamw_changes_nothing", "differ"), ("a_step_of_adamw", "right")],
)
def updated_in_place(parameter, gradient, first, second, step, learning_rate, betas, eps, weight_decay):
    first.mul_(betas[0]).add_(gradient, alpha=1 - betas[0])
    second.mul_(betas[1]).addcmul_(gradient, gradient, value=1 - betas[1])
    direction = first / (1 - betas[0] ** step) / ((second / (1 - betas[1] ** step)).sqrt() + eps)
    return parameter - learning_rate * (direction + weight_decay * parameter), first, second


@also("updated_in_place", "adamw_step")
def parameter_updated_in_place(parameter, gradient, first, second, step, learning_rate, betas, eps, weight_decay):
    first = betas[0] * first + (1 - betas[0]) * gradient
    second = betas[1] * second + (1 - betas[1]) * gradient.square()
    direction = first / (1 - betas[0] ** step) / ((second / (1 - betas[1] ** step)).sqrt() + eps)
    parameter -= learning_rate * (direction + weight_decay * parameter)
    return parameter, first, second


@mistake(
    "divided",
    credit=0.5,
    symptom="A tensor is made on the default device.",
    cause="A new tensor does not follow the parameter, so the step fails where the parameter is on a GPU.",
    place="Add eps as the number that it is, or use torch.full_like.",
    shows=[("adamw_follows_the_parameter", "is no", "made on*"), ("a_step_of_adamw", "right")],
)
def eps_on_the_default_device(first, second, eps):
    return first / (second.sqrt() + torch.full(second.shape, eps))


# evaluate, the right way, a step at a time


@step
def before(model):
    was_training = model.training
    model.eval()
    return was_training


@step
def recording():
    return torch.no_grad()


@step
def pieces_of(count, length):
    return [(begin, min(begin + length + 1, count)) for begin in range(0, count - 1, length)]


@step
def batches_of(pieces, length, batch_size):
    whole = [piece for piece in pieces if piece[1] - piece[0] == length + 1]
    batches = [whole[first : first + batch_size] for first in range(0, len(whole), batch_size)]
    return batches + [[piece] for piece in pieces if piece[1] - piece[0] != length + 1]


@step
def rows_of(ids, batch):
    """pieces of a batch, with their last targets"""
    return torch.stack([ids[begin:end] for begin, end in batch])


@step
def losses_of(model, batch):
    """losses of a batch"""
    return F.cross_entropy(model(batch[:, :-1]).transpose(1, 2), batch[:, 1:], reduction="none")


@step
def mean_of(losses, ids):
    return sum(loss.sum().item() for loss in losses) / (len(ids) - 1)


@step
def after(model, was_training):
    model.train(was_training)


@component("before", "recording", "pieces_of", "batches_of", "rows_of", "losses_of", "mean_of", "after")
def evaluate(own, model, ids, length, batch_size):
    was_training = own.before(model)
    with own.recording():
        batches = own.batches_of(own.pieces_of(len(ids), length), length, batch_size)
        losses = [own.losses_of(model, own.rows_of(ids, batch)) for batch in batches]
    own.after(model, was_training)
    return own.mean_of(losses, ids)


@mistake(
    symptom="The model is asked in training mode, where dropout disturbs every answer.",
    cause="model.eval() is missing. The result is too high, and another one each time.",
    place="Call model.eval() before the first batch.",
    shows=[("evaluated_without_dropout", "is training", "given in training mode: modes*")],
)
class left_in_training_mode:
    @staticmethod
    def before(model):
        return model.training


@mistake(
    "after",
    symptom="The model is left in evaluation mode, although it was in training mode.",
    cause="Whoever measures in the middle of a training then goes on without dropout, and does not notice.",
    place="Remember model.training, and call model.train(was_training) at the end.",
    shows=[("mode_is_restored", "is evaluation", "given in training mode:*"), ("targets_count_once", "right")],
)
def not_put_back(model, was_training):
    pass


@mistake(
    "after",
    symptom="The model is always left in training mode.",
    cause="model.train() at the end also switches a model to training mode that was in evaluation mode.",
    place="model.train(was_training).",
    shows=[("mode_is_restored", "is training", "given in evaluation mode:*"), ("targets_count_once", "right")],
    credit=0.5,
)
def always_put_into_training(model, was_training):
    model.train()


@mistake(
    "recording",
    symptom="Autograd records the calls.",
    cause="torch.no_grad() is missing. The number is right, but every activation is kept, and memory with it.",
    place="Put the loop under `with torch.no_grad():`.",
    shows=[("evaluated_without_dropout", "is yes", "*autograd records the calls"), ("targets_count_once", "right")],
    credit=0.5,
)
def gradients_recorded():
    return torch.enable_grad()


@mistake(
    "mean_of",
    symptom="The result is right for batches of one size, and otherwise targets of small batches count too much.",
    cause="A mean of the batches' means was taken.",
    place="Sum the losses of all targets, and divide once by their number.",
    shows=[("shorter_piece_counts", "differ", "*: loss")],
)
def mean_of_the_batches_means(losses, ids):
    return sum(loss.mean().item() for loss in losses) / len(losses)


@mistake(
    "mean_of",
    symptom="The loss is too small: it is divided by one number too many.",
    cause="It is divided by the number of ids. The first id is no target, so there are count - 1.",
    place="Divide by len(ids) - 1.",
    shows=[("targets_count_once", "lower", "loss")],
)
def divided_by_the_ids(losses, ids):
    return sum(loss.sum().item() for loss in losses) / len(ids)


@mistake(
    "mean_of",
    symptom="The loss is not a mean over targets: it is larger the more targets there are.",
    cause="It is a sum, or was divided by the number of batches or pieces.",
    place="Divide the sum by the number of targets.",
    shows=[("targets_count_once", "higher", "loss")],
)
def sum_of_the_losses(losses, ids):
    return sum(loss.sum().item() for loss in losses)


@also("sum_of_the_losses", "mean_of")
def divided_by_the_batches(losses, ids):
    return sum(loss.sum().item() for loss in losses) / len(losses)


@also("sum_of_the_losses", "mean_of")
def divided_by_the_pieces(losses, ids):
    return sum(loss.sum().item() for loss in losses) / sum(len(loss) for loss in losses)


@mistake(
    "mean_of",
    symptom="The result is e to the power of the loss, the perplexity.",
    cause="Perplexity is easier to read. Asked for is its logarithm, the loss in nats.",
    place="Leave out the exponential.",
    shows=[("targets_count_once", "higher", "loss")],
)
def perplexity_instead_of_nats(losses, ids):
    return math.exp(sum(loss.sum().item() for loss in losses) / (len(ids) - 1))


@mistake(
    "mean_of",
    symptom="The loss is larger by the factor 1.44: it is in bits.",
    cause="The logarithm to base 2 was taken, or the loss divided by log 2. F.cross_entropy, and the contract, use "
    "nats.",
    place="Look for log2, or for a division by math.log(2).",
    shows=[("targets_count_once", "multiple", "loss"), ("targets_count_once", "higher", "loss")],
)
def bits_instead_of_nats(losses, ids):
    return sum(loss.sum().item() for loss in losses) / (len(ids) - 1) / math.log(2)


@mistake(
    "mean_of",
    symptom="The result has the wrong sign.",
    cause="The logarithm of a probability is negative. The loss is the negative logarithm.",
    place="Put a minus in front of the logarithms.",
    shows=[("targets_count_once", "opposite", "loss")],
)
def sign_of_the_loss(losses, ids):
    return -sum(loss.sum().item() for loss in losses) / (len(ids) - 1)


@mistake(
    "evaluate",
    symptom="The last, shorter piece does not count.",
    cause="It was left out, as a data loader does with drop_last=True. Then the number is not about the whole text.",
    place="Give the shorter piece a call of its own.",
    shows=[("shorter_piece_counts", "differ", "*: loss"), ("targets_count_once", "right")],
)
def shorter_piece_dropped(model, ids, length, batch_size):
    was_training = model.training
    model.eval()
    count = (len(ids) - 1) // length * length
    total = 0.0
    with torch.no_grad():
        pieces = zip(
            ids[:count].view(-1, length).split(batch_size),
            ids[1 : count + 1].view(-1, length).split(batch_size),
            strict=True,
        )
        for read, asked in pieces:
            total += F.cross_entropy(model(read).flatten(0, 1), asked.flatten(), reduction="sum").item()
    model.train(was_training)
    return total / count if count else math.nan


@also("shorter_piece_dropped", "evaluate")
def shorter_piece_in_the_divisor(model, ids, length, batch_size):
    was_training = model.training
    model.eval()
    count = (len(ids) - 1) // length * length
    total = 0.0
    with torch.no_grad():
        pieces = zip(
            ids[:count].view(-1, length).split(batch_size),
            ids[1 : count + 1].view(-1, length).split(batch_size),
            strict=True,
        )
        for read, asked in pieces:
            total += F.cross_entropy(model(read).flatten(0, 1), asked.flatten(), reduction="sum").item()
    model.train(was_training)
    return total / (len(ids) - 1)


@mistake(
    "batches_of",
    symptom="Batches that are not full do not count.",
    cause="Only whole batches are used. A last batch with fewer pieces is as good as any other.",
    place="Let the last slice be shorter than batch_size.",
    shows=[("batch_size_is_free", "differ", "batch_size 50*")],
)
def last_batch_dropped(pieces, length, batch_size):
    whole = [piece for piece in pieces if piece[1] - piece[0] == length + 1]
    count = len(whole) // batch_size * batch_size
    batches = [whole[first : first + batch_size] for first in range(0, count, batch_size)]
    return batches + [[piece] for piece in pieces if piece[1] - piece[0] != length + 1]


@mistake(
    "evaluate",
    symptom="The shorter piece is filled up, and what it was filled with counts as targets.",
    cause="Padding is not part of the text. The contract gives the shorter piece a call of its own.",
    place="Do not pad; call the model once more for the piece that is left.",
    shows=[("shorter_piece_counts", "differ", "*: loss"), ("targets_count_once", "right")],
)
def shorter_piece_filled_up(model, ids, length, batch_size):
    was_training = model.training
    model.eval()
    count = -(-(len(ids) - 1) // length) * length
    filled = F.pad(ids, (0, count + 1 - len(ids)))
    total = 0.0
    with torch.no_grad():
        pieces = zip(
            filled[:-1].view(-1, length).split(batch_size), filled[1:].view(-1, length).split(batch_size), strict=True
        )
        for read, asked in pieces:
            total += F.cross_entropy(model(read).flatten(0, 1), asked.flatten(), reduction="sum").item()
    model.train(was_training)
    return total / count


@mistake(
    "evaluate",
    symptom="The first id of every piece is no target.",
    cause="The pieces stand side by side, and within each the first id is only given. So one id in every piece is "
    "asked for by nobody. In the contract a piece begins with the last target of the one before.",
    place="Cut inputs and targets apart first, `ids[:-1]` and `ids[1:]`, and then into pieces; or cut length + 1 ids "
    "every length places.",
    shows=[("targets_count_once", "differ", "loss")],
)
def seams_not_asked_for(model, ids, length, batch_size):
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(ids) - 1, length):
            piece = ids[None, start : start + length]
            if piece.shape[1] > 1:
                loss = F.cross_entropy(model(piece[:, :-1]).flatten(0, 1), piece[:, 1:].flatten(), reduction="sum")
                total, count = total + loss.item(), count + piece.shape[1] - 1
    model.train(was_training)
    return total / max(count, 1)


@also("seams_not_asked_for", "pieces_of")
def pieces_side_by_side(count, length):
    return [(begin, min(begin + length + 1, count)) for begin in range(0, count - 1, length + 1)]


@mistake(
    "pieces_of",
    symptom="Targets count several times, because the pieces overlap.",
    cause="A new piece begins at every id, or at every half piece. Each target then counts as often as it is met, with "
    "contexts of different lengths.",
    place="Let pieces begin every length places.",
    shows=[("targets_count_once", "differ", "loss")],
)
def pieces_overlap(count, length):
    return [(begin, min(begin + length + 1, count)) for begin in range(count - 1)]


@mistake(
    "losses_of",
    symptom="The model is asked for what it has just read.",
    cause="Logits and ids are compared at the same place. What is asked for is the id behind each.",
    place="Compare with the ids one place later.",
    shows=[("targets_count_once", "differ", "loss")],
)
def compared_without_a_shift(model, batch):
    return F.cross_entropy(model(batch[:, :-1]).transpose(1, 2), batch[:, :-1], reduction="none")


@mistake(
    "losses_of",
    symptom="A softmax comes before the cross-entropy.",
    cause="F.cross_entropy contains one. A second one makes all probabilities nearly equal.",
    place="Give F.cross_entropy the logits.",
    shows=[("targets_count_once", "differ", "loss")],
)
def softmax_before_the_loss(model, batch):
    return F.cross_entropy(model(batch[:, :-1]).softmax(-1).transpose(1, 2), batch[:, 1:], reduction="none")


@mistake(
    "losses_of",
    symptom="Only the last target of each piece counts.",
    cause="Logits and targets were cut down to the last place. In measuring as in training, every place is asked.",
    place="Use the logits of all places.",
    shows=[("targets_count_once", "differ", "loss")],
)
def last_place_of_each_piece(model, batch):
    return F.cross_entropy(model(batch[:, :-1])[:, -1], batch[:, -1], reduction="none")[:, None]


@mistake(
    "losses_of",
    symptom="Positions and classes are mixed up.",
    cause="F.cross_entropy wants the classes on axis 1. A view or reshape to [batch, vocab_size, time] gives the "
    "axes other names and leaves the numbers where they are.",
    place="Flatten batch and time, or use transpose(1, 2).",
    shows=[("targets_count_once", "differ", "loss")],
)
def logits_reshaped(model, batch):
    logits = model(batch[:, :-1])
    return F.cross_entropy(logits.reshape(len(batch), -1, batch.shape[1] - 1), batch[:, 1:], reduction="none")


@mistake(
    "batches_of",
    symptom="The model reads all pieces in one call, whatever batch_size is.",
    cause="batch_size is not used. A long text does not fit into memory at once.",
    place="Read batch_size pieces in a call.",
    shows=[("sizes_are_kept", "differ", "most pieces"), ("targets_count_once", "right")],
    credit=0.5,
)
def all_pieces_at_once(pieces, length, batch_size):
    whole = [piece for piece in pieces if piece[1] - piece[0] == length + 1]
    return ([whole] if whole else []) + [[piece] for piece in pieces if piece[1] - piece[0] != length + 1]


@mistake(
    "pieces_of",
    symptom="Pieces are longer than length.",
    cause="The text is read in one piece, or in pieces that are one id too long. A model has no position for more "
    "than it was trained with.",
    place="Read ids[k * length : (k + 1) * length].",
    shows=[("sizes_are_kept", "differ", "longest piece")],
)
def text_in_one_piece(count, length):
    return [(0, count)]


@also("text_in_one_piece", "evaluate")
def last_id_read_as_well(model, ids, length, batch_size):
    was_training = model.training
    model.eval()
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(ids) - 1, length):
            piece = ids[None, start : start + length + 1]
            total += F.cross_entropy(model(piece)[:, :-1].flatten(0, 1), piece[:, 1:].flatten(), reduction="sum").item()
    model.train(was_training)
    return total / (len(ids) - 1)


@mistake(
    "evaluate",
    symptom="The text is changed.",
    cause="What was left over was written into the text, or it was shifted in place. The next measurement needs it "
    "as it was.",
    place="Slice it; a slice leaves the text alone as long as nothing is written into it.",
    shows=[("evaluated_text_is_kept", "differ"), ("targets_count_once", "right")],
    credit=0.5,
)
def text_shifted_in_place(model, ids, length, batch_size):
    read = ids[:-1].clone()
    ids[:-1] = ids[1:].clone()
    asked, total, was_training = ids[:-1], 0.0, model.training
    model.eval()
    with torch.no_grad():
        for start in range(0, len(read), length):
            logits = model(read[None, start : start + length])[0]
            total += F.cross_entropy(logits, asked[start : start + length], reduction="sum").item()
    model.train(was_training)
    return total / len(read)


# Part 3: a model from an empty cell

# The right way, a step at a time


@component()
class GPT(nn.Module):
    def __init__(self, vocab_size, embed_dim, num_heads, num_layers, max_len):
        nn.Module.__init__(self)
        self.num_heads, self.max_len = num_heads, max_len
        self.make_tables(vocab_size, embed_dim, max_len)
        self.make_layers(embed_dim, num_layers)
        self.final_norm = self.make_norm(embed_dim)
        self.make_head(vocab_size, embed_dim)

    def make_tables(self, vocab_size, embed_dim, max_len):
        self.token = nn.Embedding(vocab_size, embed_dim)
        self.position = nn.Embedding(max_len, embed_dim)

    def make_layers(self, embed_dim, num_layers):
        self.layers = nn.ModuleList([self.make_layer(embed_dim) for _ in range(num_layers)])

    def make_layer(self, embed_dim):
        return nn.ModuleDict(
            {
                "norm1": self.make_norm(embed_dim),
                "self_attention": self.make_attention(embed_dim),
                "norm2": self.make_norm(embed_dim),
                "feed_forward": self.make_feed_forward(embed_dim),
            }
        )

    def make_norm(self, embed_dim):
        return nn.LayerNorm(embed_dim)

    def make_attention(self, embed_dim):
        return nn.ModuleDict(
            {name: nn.Linear(embed_dim, embed_dim) for name in ("q_proj", "k_proj", "v_proj", "out_proj")}
        )

    def make_feed_forward(self, embed_dim):
        return nn.ModuleDict(
            {"up_proj": nn.Linear(embed_dim, 4 * embed_dim), "down_proj": nn.Linear(4 * embed_dim, embed_dim)}
        )

    def make_head(self, vocab_size, embed_dim):
        pass

    def refuse(self, tokens):
        if tokens.shape[1] > self.max_len:
            raise ValueError(f"{tokens.shape[1]} tokens are more than max_len {self.max_len}")
        return tokens

    def places(self, tokens):
        """position vectors"""
        return self.position.weight[: tokens.shape[1]]

    def embed(self, tokens):
        """token and position vectors"""
        return self.token(tokens) + self.places(tokens)

    def project(self, attention, x):
        """query; key; value"""
        return attention["q_proj"](x), attention["k_proj"](x), attention["v_proj"](x)

    def split(self, x):
        """heads"""
        batch, time, embed_dim = x.shape
        return x.view(batch, time, self.num_heads, embed_dim // self.num_heads).transpose(1, 2)

    def scale(self, query, key):
        """scores"""
        return query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])

    def hide(self, scores):
        """masked scores"""
        time = scores.shape[-1]
        future = torch.ones(time, time, dtype=torch.bool, device=scores.device).triu(1)
        return scores.masked_fill(future, -math.inf)

    def weigh(self, scores):
        """attention weights"""
        return scores.softmax(dim=-1)

    def mix(self, weights, value):
        """weighted mean of the values"""
        return weights @ value

    def merge(self, x):
        """heads side by side"""
        batch, heads, time, head_dim = x.shape
        return x.transpose(1, 2).reshape(batch, time, heads * head_dim)

    def finish(self, attention, x):
        """output of attention"""
        return attention["out_proj"](x)

    def attend(self, attention, x):
        query, key, value = self.project(attention, x)
        query, key, value = self.split(query), self.split(key), self.split(value)
        weights = self.weigh(self.hide(self.scale(query, key)))
        return self.finish(attention, self.merge(self.mix(weights, value)))

    def activate(self, x):
        """activation"""
        return F.gelu(x, approximate="tanh")

    def feed(self, feed_forward, x):
        """output of the feed-forward network"""
        return feed_forward["down_proj"](self.activate(feed_forward["up_proj"](x)))

    def first(self, layer, x):
        """behind attention"""
        return x + self.attend(layer["self_attention"], layer["norm1"](x))

    def second(self, layer, x):
        """behind the feed-forward network"""
        return x + self.feed(layer["feed_forward"], layer["norm2"](x))

    def layer(self, layer, x):
        return self.second(layer, self.first(layer, x))

    def stack(self, x):
        """behind all layers"""
        for layer in self.layers:
            x = self.layer(layer, x)
        return x

    def normalise(self, x):
        """behind the final norm"""
        return self.final_norm(x)

    def score(self, x):
        """logits"""
        return x @ self.token.weight.T

    def answer(self, logits):
        return logits

    def forward(self, tokens):
        x = self.embed(self.refuse(tokens))
        return self.answer(self.score(self.normalise(self.stack(x))))


# The mask


@mistake(
    "hide",
    symptom="Positions notice a token that comes after them: the future is seen.",
    cause="There is no causal mask, or it hides nothing. Each position then reads the token that it is to predict: its loss "
    "in training falls nearly to 0, and it has learned to copy, which is of no use where the future is not there yet.",
    place="Hide the scores above the diagonal, with -inf and before the softmax, or give `is_causal=True` to "
    "F.scaled_dot_product_attention.",
    shows=[("gpt_does_not_see_the_future", "differ")],
)
def no_causal_mask(self, scores):
    return scores


@also("no_causal_mask", "hide")
def mask_not_assigned(self, scores):
    time = scores.shape[-1]
    scores.masked_fill(torch.ones(time, time, dtype=torch.bool, device=scores.device).triu(1), -math.inf)
    return scores


@mistake(
    "hide",
    symptom="Each position notices the token right after it, and none of those behind that.",
    cause="The mask is off by one: the diagonal above the main one is left open. What stands there is just the token that is "
    "to be predicted.",
    place="Hide from the first diagonal above the main one: `triu(1)`, which is `~tril()`.",
    shows=[("gpt_does_not_see_the_future", "differ")],
)
def mask_hides_one_too_few(self, scores):
    time = scores.shape[-1]
    return scores.masked_fill(torch.ones(time, time, dtype=torch.bool, device=scores.device).triu(2), -math.inf)


@mistake(
    "hide",
    symptom="Each position attends to itself and to what comes later, and not to what came before.",
    cause="The mask is the wrong way round: it hides the past. Some masks say True for what is hidden (`masked_fill`, "
    "nn.MultiheadAttention), some for what is seen (F.scaled_dot_product_attention), and one was taken for the other.",
    place="Look at which triangle is True, and at what True means where you use it.",
    shows=[("gpt_does_not_see_the_future", "differ")],
)
def mask_hides_the_past(self, scores):
    time = scores.shape[-1]
    return scores.masked_fill(~torch.ones(time, time, dtype=torch.bool, device=scores.device).triu(), -math.inf)


@also("mask_hides_the_past", "hide")
def mask_taken_for_its_opposite(self, scores):
    time = scores.shape[-1]
    return scores.masked_fill(torch.ones(time, time, dtype=torch.bool, device=scores.device).tril(-1), -math.inf)


@mistake(
    symptom="Attention weights do not sum to 1, and by that a position notices what comes after it.",
    cause="The weights of later positions were set to 0 after the softmax, which had already given them their share. The "
    "earlier a position stands, the less is left for it; and how much that is depends on the future.",
    place="Hide the scores before the softmax, with -inf.",
    shows=[("gpt_does_not_see_the_future", "differ"), ("gpt_attends", "differ")],
)
class masked_after_the_softmax:
    def hide(self, scores):
        return scores

    def weigh(self, scores):
        return scores.softmax(dim=-1).tril()


# Scores and weights


@mistake(
    "scale",
    symptom="Attention is too sharp: nearly all weight lies on the largest score.",
    cause="The scores are not divided by the square root of the size of a head. A dot product of head_dim terms has about "
    "head_dim times the variance of one, and the softmax saturates.",
    place="Divide the scores by `math.sqrt(head_dim)`.",
    shows=[("gpt_attends", "differ")],
)
def no_scale(self, query, key):
    return query @ key.transpose(-2, -1)


@mistake(
    "scale",
    symptom="Attention is too even: the scores are divided by too much.",
    cause="The scores are divided by the square root of embed_dim. Their products run over the features of one head, and it is "
    "the number of these that counts.",
    place="Divide by the square root of the last axis of the query, behind the split into heads.",
    shows=[("gpt_attends", "differ")],
)
def scaled_by_embed_dim(self, query, key):
    return query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1] * self.num_heads)


# Projections and heads


@mistake(
    "split",
    symptom="Heads are mixed with positions: the numbers of one head come from several positions.",
    cause="`view` went straight to [batch, heads, time, head_dim]. It only gives new names to places in memory; there the "
    "features of one position lie side by side, so they end up as several positions of one head.",
    place="View as [batch, time, heads, head_dim] first, and then `transpose(1, 2)`.",
    shows=[("gpt_attends", "differ")],
)
def split_without_the_transpose(self, x):
    batch, time, embed_dim = x.shape
    return x.reshape(batch, self.num_heads, time, embed_dim // self.num_heads)


@mistake(
    "merge",
    symptom="Behind attention, heads are mixed with positions.",
    cause="The heads were put side by side without bringing them back behind the positions. `reshape` of [batch, heads, time, "
    "head_dim] cuts the wrong numbers into rows.",
    place="`transpose(1, 2)` first, then `reshape(batch, time, embed_dim)`.",
    shows=[("gpt_attends", "differ")],
)
def merge_without_the_transpose(self, x):
    batch, heads, time, head_dim = x.shape
    return x.reshape(batch, time, heads * head_dim)


@mistake(
    symptom="There is one head, however many were asked for.",
    cause="num_heads is not used. One head has one pattern of attention for all features; several look at several things at "
    "once.",
    place="Split query, key and value into num_heads parts before the scores.",
    shows=[("gpt_attends", "differ")],
)
class one_head:
    def split(self, x):
        return x.unsqueeze(1)


@mistake(
    "attend",
    symptom="Texts of a batch see each other.",
    cause="Batch and time have changed places in attention. nn.MultiheadAttention takes [time, batch, embed_dim] unless it is "
    "told `batch_first=True`.",
    place="Look at which axis the scores run over: it has to be that of the positions.",
    shows=[("gpt_keeps_texts_apart", "differ")],
)
def attention_across_the_batch(self, attention, x):
    return GPT.attend(self, attention, x.transpose(0, 1)).transpose(0, 1)


# Norms and residual paths


@mistake(
    symptom="The norms stand behind the sublayers: what was added is normalised along with the residual path.",
    cause="This is the post-norm form of the paper of 2017. GPT-2 normalises what goes *into* a sublayer, and leaves the "
    "residual path alone from the embedding to the final norm.",
    place="Write `x = x + sublayer(norm(x))`.",
    shows=[("gpt_feeds_forward", "differ"), ("gpt_attends", "differ")],
)
class norms_behind_the_sublayers:
    def first(self, layer, x):
        return layer["norm1"](x + self.attend(layer["self_attention"], x))

    def second(self, layer, x):
        return layer["norm2"](x + self.feed(layer["feed_forward"], x))


@mistake(
    symptom="The residual path carries the normalised numbers.",
    cause="x was replaced by norm(x) before the sum: `x = norm(x)`, then `x = x + sublayer(x)`. The path from the embedding to "
    "the final norm is then normalised anew in each layer, and nothing gets through as it was.",
    place="Keep x, and normalise only what the sublayer is given: `x = x + sublayer(norm(x))`.",
    shows=[("gpt_without_layers", "differ")],
)
class residual_from_the_normalised:
    def first(self, layer, x):
        x = layer["norm1"](x)
        return x + self.attend(layer["self_attention"], x)

    def second(self, layer, x):
        x = layer["norm2"](x)
        return x + self.feed(layer["feed_forward"], x)


@mistake(
    symptom="A sublayer replaces x instead of adding to it.",
    cause="A residual path is missing. With silent sublayers nothing is left of the tokens, and in a deep model gradients have "
    "no short way back.",
    place="Write `x = x + ...` for both sublayers.",
    shows=[("gpt_without_layers", "differ")],
)
class residual_missing:
    def first(self, layer, x):
        return self.attend(layer["self_attention"], layer["norm1"](x))

    def second(self, layer, x):
        return self.feed(layer["feed_forward"], layer["norm2"](x))


@also("residual_missing", "first")
def residual_of_attention_missing(self, layer, x):
    return self.attend(layer["self_attention"], layer["norm1"](x))


@also("residual_missing", "second")
def residual_of_the_network_missing(self, layer, x):
    return self.feed(layer["feed_forward"], layer["norm2"](x))


@mistake(
    "second",
    symptom="The feed-forward network gets the numbers of the first norm: norm2 is not used.",
    cause="One norm serves both sublayers. Each has its own weight and bias, and learns its own.",
    place="Look at the norm in front of the feed-forward network.",
    shows=[("gpt_feeds_forward", "differ")],
)
def one_norm_for_both(self, layer, x):
    return x + self.feed(layer["feed_forward"], layer["norm1"](x))


@mistake(
    "normalise",
    symptom="The logits are those of hidden states that were never normalised: final_norm is not used.",
    cause="The final norm is missing. In a pre-norm model nothing normalises the residual path but this: it has grown with each "
    "layer, and so do the logits.",
    place="Apply `self.final_norm` behind the last layer, before the head.",
    shows=[("gpt_without_layers", "differ")],
)
def final_norm_missing(self, x):
    return x


# The feed-forward network


@mistake(
    "activate",
    symptom="The activation is ReLU.",
    cause="ReLU is that of the paper of 2017. GPT-2 uses GELU, which lets a little of negative numbers through.",
    place='Use `F.gelu(x, approximate="tanh")`.',
    shows=[("gpt_feeds_forward", "differ")],
)
def relu(self, x):
    return F.relu(x)


@mistake(
    "activate",
    credit=0.5,
    symptom="The activation is GELU in its exact form; the logits are off by little.",
    cause="F.gelu and nn.GELU compute the exact GELU unless they are told otherwise. GPT-2 was trained with the tanh "
    "approximation, which differs in the third or fourth digit.",
    place='Use `F.gelu(x, approximate="tanh")`.',
    shows=[("gpt_feeds_forward", "differ")],
)
def exact_gelu(self, x):
    return F.gelu(x)


# Tokens, positions and the head


@mistake(
    "embed",
    symptom="The model does not know where a token stands: positions are not added.",
    cause="The position table is made and never used. All that attention knows of order without it is what the mask hides.",
    place="Add `self.position.weight[:time]` to the token vectors.",
    shows=[("gpt_without_layers", "differ")],
)
def positions_missing(self, tokens):
    return self.token(tokens)


@mistake(
    "places",
    symptom="Positions are counted from 1: each token gets the vector of the next place.",
    cause="`arange(1, time + 1)` begins one place too late, and of a text of max_len tokens the last one has no vector.",
    place="Count from 0: `torch.arange(time)`.",
    shows=[("gpt_without_layers", "differ")],
)
def positions_from_one(self, tokens):
    return self.position(torch.arange(1, tokens.shape[1] + 1, device=tokens.device))


@mistake(
    symptom="There is a head with numbers of its own.",
    cause="The head should be the token table itself, one parameter that is trained from both sides. A linear layer of its own, "
    "or a copy, has numbers of its own, which go their own way in training.",
    place="Return `F.linear(x, self.token.weight)`, or give the head the table: `self.head.weight = self.token.weight`.",
    shows=[("gpt_has_its_parameters", "differ", "superfluous parameters")],
)
class head_not_tied:
    def make_head(self, vocab_size, embed_dim):
        self.head = nn.Linear(embed_dim, vocab_size, bias=False)

    def score(self, x):
        return self.head(x)


@also("head_not_tied")
class head_not_tied_with_a_bias:
    def make_head(self, vocab_size, embed_dim):
        self.head = nn.Linear(embed_dim, vocab_size)

    def score(self, x):
        return self.head(x)


@also("head_not_tied")
class head_copied:
    def make_head(self, vocab_size, embed_dim):
        self.head = nn.Linear(embed_dim, vocab_size, bias=False)
        self.head.weight = nn.Parameter(self.token.weight.detach().clone())

    def score(self, x):
        return self.head(x)


# What comes out


@mistake(
    "answer",
    symptom="Probabilities come back instead of logits.",
    cause="A softmax was applied at the end. F.cross_entropy does that itself, and a second one in front of it makes all "
    "tokens nearly equally likely.",
    place="Return the products with the token table as they are.",
    shows=[("gpt_computes", "differ", "logits")],
)
def softmax_at_the_end(self, logits):
    return logits.softmax(dim=-1)


@also("softmax_at_the_end", "answer")
def log_softmax_at_the_end(self, logits):
    return logits.log_softmax(dim=-1)


@mistake(
    "answer",
    credit=0.5,
    symptom="More than one value comes back.",
    cause="The contract asks for the logits alone, as one tensor. Others return attention weights or a loss beside them, and who "
    "expects a tensor gets a tuple.",
    place="Return the logits, and nothing beside them.",
    shows=[("gpt_returns_logits", "differ", "answer")],
)
def more_than_logits(self, logits):
    return logits, None


@also("more_than_logits", "answer")
def logits_in_a_tuple(self, logits):
    return (logits,)


# The stack of layers


@mistake(
    "make_layers",
    symptom="All layers are one and the same: they share their parameters.",
    cause="`[layer] * n` is a list of one layer, n times. Each layer has to be made anew.",
    place="Make the layers in a loop: `nn.ModuleList(make() for _ in range(num_layers))`.",
    shows=[("gpt_has_its_parameters", "differ", "parameters that are one and the same")],
)
def one_layer_many_times(self, embed_dim, num_layers):
    self.layers = nn.ModuleList([self.make_layer(embed_dim)] * num_layers)


@mistake(
    "make_layers",
    symptom="PyTorch knows nothing of the layers: their parameters are missing.",
    cause="They are kept in a plain list. Only what is an attribute, or in an nn.ModuleList, is found by state_dict, by an "
    "optimizer and by `.to(device)`.",
    place="Write `self.layers = nn.ModuleList(...)`.",
    shows=[("gpt_has_its_parameters", "differ", "missing parameters")],
)
def layers_in_a_plain_list(self, embed_dim, num_layers):
    torch.manual_seed(0)
    self.layers = [self.make_layer(embed_dim) for _ in range(num_layers)]


@mistake(
    "stack",
    symptom="Only the last layer counts.",
    cause="In the loop each layer gets the embedding again, and what the one before it made is lost.",
    place="Hand on what the layer gave: `x = layer(x)`.",
    shows=[("gpt_computes", "differ")],
)
def each_layer_gets_the_embedding(self, x):
    for layer in self.layers:
        y = self.layer(layer, x)
    return y


@mistake(
    "stack",
    symptom="Only the first layer counts.",
    cause="The loop returns in its first round.",
    place="Look at how far the return is indented.",
    shows=[("gpt_computes", "differ")],
)
def returns_in_the_loop(self, x):
    for layer in self.layers:
        return self.layer(layer, x)


# Names


@mistake(
    credit=0.5,
    symptom="Parts have other names than the contract gives them.",
    cause="Names are what numbers are loaded by: a file with weights for `token.weight` finds nothing in a model that calls "
    "it otherwise, however right its computation is.",
    place="Compare `GPT(...).state_dict().keys()` with the table of the contract.",
    shows=[("gpt_has_its_parameters", "is some", "parameters under other names")],
)
class other_names:
    def make_tables(self, vocab_size, embed_dim, max_len):
        self.wte = nn.Embedding(vocab_size, embed_dim)
        self.wpe = nn.Embedding(max_len, embed_dim)

    def embed(self, tokens):
        return self.wte(tokens) + self.wpe.weight[: tokens.shape[1]]

    def score(self, x):
        return x @ self.wte.weight.T


@also("other_names")
class layers_under_other_names:
    def make_layers(self, embed_dim, num_layers):
        self.blocks = nn.ModuleList([self.make_layer(embed_dim) for _ in range(num_layers)])

    def stack(self, x):
        for layer in self.blocks:
            x = self.layer(layer, x)
        return x


@also("other_names")
class positions_as_a_parameter:
    def make_tables(self, vocab_size, embed_dim, max_len):
        self.token = nn.Embedding(vocab_size, embed_dim)
        self.position = nn.Parameter(torch.randn(max_len, embed_dim))

    def places(self, tokens):
        return self.position[: tokens.shape[1]]


@also("other_names")
class parts_under_other_names:
    def make_layer(self, embed_dim):
        return nn.ModuleDict(
            {
                "ln_1": self.make_norm(embed_dim),
                "attn": self.make_attention(embed_dim),
                "ln_2": self.make_norm(embed_dim),
                "mlp": self.make_feed_forward(embed_dim),
            }
        )

    def first(self, layer, x):
        return x + self.attend(layer["attn"], layer["ln_1"](x))

    def second(self, layer, x):
        return x + self.feed(layer["mlp"], layer["ln_2"](x))


@mistake(
    "make_attention",
    symptom="Projections of attention have no bias.",
    cause="Later models leave it out. GPT-2 has one in every linear layer.",
    place="Make q_proj, k_proj, v_proj and out_proj with their bias.",
    shows=[("gpt_has_its_parameters", "differ", "missing parameters")],
)
def projections_without_a_bias(self, embed_dim):
    biases = {"q_proj": False, "k_proj": False, "v_proj": False, "out_proj": True}
    return nn.ModuleDict({name: nn.Linear(embed_dim, embed_dim, bias=bias) for name, bias in biases.items()})


@also("projections_without_a_bias", "make_attention")
def no_projection_has_a_bias(self, embed_dim):
    names = ("q_proj", "k_proj", "v_proj", "out_proj")
    return nn.ModuleDict({name: nn.Linear(embed_dim, embed_dim, bias=False) for name in names})


# Refusals and the rest


@mistake(
    "refuse",
    credit=0.5,
    symptom="A sequence that is too long is not refused with a ValueError.",
    cause="Nothing looks at the length. Then either PyTorch fails somewhere inside, in words that help nobody, or the text is cut "
    "in silence.",
    place="At the beginning of forward: `if tokens.shape[1] > self.max_len: raise ValueError(...)`, with both numbers in it.",
    shows=[("gpt_refuses_long_sequences", "differ")],
)
def too_long_not_refused(self, tokens):
    return tokens


@also("too_long_not_refused")
class too_long_is_an_index_error:
    def refuse(self, tokens):
        return tokens

    def places(self, tokens):
        return self.position(torch.arange(tokens.shape[1], device=tokens.device))


@also("too_long_not_refused", "refuse")
def too_long_is_cut(self, tokens):
    return tokens[:, -self.max_len :]


@also("too_long_not_refused", "refuse")
def too_long_is_asserted(self, tokens):
    assert tokens.shape[1] <= self.max_len, "too long"
    return tokens


@mistake(
    "refuse",
    symptom="A sequence of max_len tokens is refused.",
    cause="The comparison is `>=`. max_len tokens have max_len positions, and there are so many.",
    place="Refuse only what is longer: `>`.",
    shows=[("gpt_comes_in_sizes", "raise", "*answer"), ("gpt_refuses_long_sequences", "right")],
)
def max_len_refused(self, tokens):
    if tokens.shape[1] >= self.max_len:
        raise ValueError(f"{tokens.shape[1]} tokens are too many for max_len {self.max_len}")
    return tokens


@mistake(
    "first",
    credit=0.5,
    symptom="In training mode the logits are others: something is dropped.",
    cause="There is dropout, which the contract does not have. (nn.TransformerEncoderLayer drops a tenth unless it is told "
    "otherwise; models of today are trained without it, as each text is read about once.)",
    place="Remove the dropout, or set it to 0.",
    shows=[("gpt_drops_nothing", "differ")],
)
def dropout(self, layer, x):
    return x + F.dropout(self.attend(layer["self_attention"], layer["norm1"](x)), 1.0, self.training)


@mistake(
    "hide",
    credit=0.5,
    symptom="It fails as soon as the model and the tokens live on another device, such as a GPU.",
    cause="A new tensor was made on the default device, wherever the tokens are.",
    place="Make it with `device=tokens.device`, or `device=x.device`; or register it as a buffer, which moves with the model.",
    shows=[("gpt_follows_its_device", "differ")],
)
def fixed_device(self, scores):
    time = scores.shape[-1]
    return torch.where(torch.ones(time, time).tril().bool(), scores, -math.inf)


# What is made more rarely; only those above are looked for in pairs that change each other's numbers


@mistake(
    "hide",
    symptom="No position attends to itself, and the first one attends to nothing.",
    cause="The mask is off by one: it hides the diagonal as well. A position may attend to itself, because its own token is "
    "not what it is to predict. Without that the first row has no key left, and a softmax over nothing is NaN.",
    place="Hide from the first diagonal above the main one: `triu(1)`, and not `triu()`.",
)
def mask_hides_one_too_many(self, scores):
    time = scores.shape[-1]
    return scores.masked_fill(torch.ones(time, time, dtype=torch.bool, device=scores.device).triu(), -math.inf)


@also("mask_hides_one_too_many", "hide")
def mask_hides_one_too_many_finite(self, scores):
    time = scores.shape[-1]
    return scores.masked_fill(torch.ones(time, time, dtype=torch.bool, device=scores.device).triu(), -1e9)


@mistake(
    "hide",
    symptom="Later positions are not hidden: they get a score of 0, which is often more than those that count.",
    cause="The scores were multiplied with the mask. A score of 0 is a score like any other; the softmax gives it e to the "
    "power of 0, which is 1, before it divides.",
    place="Fill with -inf where nothing may be seen: `scores.masked_fill(future, -math.inf)`.",
    shows=[("gpt_does_not_see_the_future", "differ")],
)
def scores_multiplied_with_the_mask(self, scores):
    return scores.tril()


@mistake(
    "scale",
    symptom="Attention is too even: the scores are divided by head_dim itself, or twice by its root.",
    cause="The root is missing, or the query was divided before F.scaled_dot_product_attention, which divides again.",
    place="Divide once, by the square root of head_dim; F.scaled_dot_product_attention does it for you.",
    shows=[("gpt_attends", "differ")],
)
def scaled_by_head_dim(self, query, key):
    return query @ key.transpose(-2, -1) / query.shape[-1]


@mistake(
    "weigh",
    symptom="The weights that a query gives to its keys do not sum to 1.",
    cause="The softmax has the wrong axis: that of the queries, or that of the heads. Each query has one unit of attention for "
    "its keys, and the keys are the last axis.",
    place="Write `softmax(dim=-1)`.",
    shows=[("gpt_attends", "differ")],
)
def softmax_over_queries(self, scores):
    return scores.softmax(dim=-2)


@also("softmax_over_queries", "weigh")
def softmax_over_heads(self, scores):
    return scores.softmax(dim=1)


@mistake(
    "project",
    symptom="Queries and keys have changed places.",
    cause="Scores were made of keys and queries the other way round, so that each key asks and each query is asked. With one "
    "projection for all three, this comes of another order than query, key, value.",
    place="Compare the order in which you make, unpack and use query, key and value.",
    shows=[("gpt_attends", "differ")],
)
def query_and_key_exchanged(self, attention, x):
    return attention["k_proj"](x), attention["q_proj"](x), attention["v_proj"](x)


@mistake(
    "project",
    symptom="What attention gathers are the keys: v_proj is not used.",
    cause="The weights were applied to the keys. A key says what a position can be found by, and the value what it gives.",
    place="Multiply the weights with the value.",
    shows=[("gpt_attends", "differ")],
)
def values_are_keys(self, attention, x):
    return attention["q_proj"](x), attention["k_proj"](x), attention["k_proj"](x)


@mistake(
    "project",
    symptom="What attention gathers are the inputs as they are: v_proj is not used.",
    cause="The weights were applied to x itself. Each head has a projection of its own for what it passes on.",
    place="Multiply the weights with `v_proj(x)`, split into heads.",
    shows=[("gpt_attends", "differ")],
)
def values_not_projected(self, attention, x):
    return attention["q_proj"](x), attention["k_proj"](x), x


@mistake(
    "split",
    symptom="The features of the heads are interleaved: each head has every so-many-th feature.",
    cause="Features were viewed as [head_dim, heads] instead of [heads, head_dim]. A model that is trained like this works, but "
    "with the numbers of another one it computes something else.",
    place="View as [batch, time, heads, head_dim]: the first head_dim features belong to head 0.",
    shows=[("gpt_attends", "differ")],
)
def heads_interleaved(self, x):
    batch, time, embed_dim = x.shape
    return x.view(batch, time, embed_dim // self.num_heads, self.num_heads).permute(0, 3, 1, 2)


@mistake(
    "finish",
    symptom="out_proj is not used.",
    cause="What the heads have gathered was added to the residual path as it is. out_proj mixes the heads, and learns how much "
    "each of them may add.",
    place="Return `self.out_proj(...)` from attention.",
    shows=[("gpt_without_layers", "differ")],
)
def output_not_projected(self, attention, x):
    return x


@mistake(
    symptom="What a sublayer gives is normalised before it is added, and what goes into it is not.",
    cause="The norm stands around the sublayer's output: `x + norm(sublayer(x))`. GPT-2 has it around the input.",
    place="Write `x = x + sublayer(norm(x))`.",
    shows=[("gpt_without_layers", "differ")],
)
class norms_of_the_output:
    def first(self, layer, x):
        return x + layer["norm1"](self.attend(layer["self_attention"], x))

    def second(self, layer, x):
        return x + layer["norm2"](self.feed(layer["feed_forward"], x))


@mistake(
    symptom="The sublayers get x as it is: the norms inside the layers are not used.",
    cause="norm1 and norm2 are made and never called, so what goes into a sublayer grows with depth.",
    place="Write `x = x + sublayer(norm(x))`.",
    shows=[("gpt_feeds_forward", "differ")],
)
class norms_of_the_layers_missing:
    def first(self, layer, x):
        return x + self.attend(layer["self_attention"], x)

    def second(self, layer, x):
        return x + self.feed(layer["feed_forward"], x)


@mistake(
    symptom="The final norm stands in front of the layers.",
    cause="It normalises the embedding (as BERT does), and nothing normalises what the head gets.",
    place="Apply `self.final_norm` behind the last layer.",
    shows=[("gpt_feeds_forward", "differ"), ("gpt_attends", "differ")],
)
class final_norm_in_front:
    def embed(self, tokens):
        return self.final_norm(self.token(tokens) + self.places(tokens))

    def normalise(self, x):
        return x


@mistake(
    symptom="The final norm is applied in every layer.",
    cause="It stands inside the loop over the layers. The residual path between them is to stay as it is.",
    place="Move `self.final_norm` out of the loop, behind its end.",
    shows=[("gpt_without_layers", "differ")],
)
class final_norm_in_the_loop:
    def stack(self, x):
        for layer in self.layers:
            x = self.final_norm(self.layer(layer, x))
        return x

    def normalise(self, x):
        return x


@mistake(
    "layer",
    symptom="Both sublayers get the same x, and both outputs are added to it.",
    cause="They run side by side, as in GPT-J. In GPT-2 the feed-forward network gets what attention has added already.",
    place="Let the second line of the layer use the x that the first one has made.",
    shows=[("gpt_computes", "differ")],
)
def sublayers_side_by_side(self, layer, x):
    return self.first(layer, x) + self.feed(layer["feed_forward"], layer["norm2"](x))


@mistake(
    "layer",
    symptom="The feed-forward network comes before attention.",
    cause="The two lines of the layer have changed places.",
    place="Attention first, then the feed-forward network.",
    shows=[("gpt_computes", "differ")],
)
def feed_forward_first(self, layer, x):
    return self.first(layer, self.second(layer, x))


@mistake(
    "activate",
    symptom="There is no activation: the feed-forward network is linear.",
    cause="Two linear layers without anything between them are one linear layer, however wide they are.",
    place='Put `F.gelu(..., approximate="tanh")` between up_proj and down_proj.',
    shows=[("gpt_feeds_forward", "differ")],
)
def activation_missing(self, x):
    return x


@mistake(
    "feed",
    symptom="The activation stands behind down_proj, and none between the two linear layers.",
    cause="What an activation is for is that a non-linear step stands between the two. Behind the second it also cuts off "
    "what the network could take away from the residual path.",
    place="Write `down_proj(activation(up_proj(x)))`.",
    shows=[("gpt_feeds_forward", "differ")],
)
def activation_at_the_end(self, feed_forward, x):
    return self.activate(feed_forward["down_proj"](feed_forward["up_proj"](x)))


@mistake(
    "make_feed_forward",
    symptom="The feed-forward network has another number of hidden features than 4 * embed_dim.",
    cause="GPT-2's feed-forward networks are four times as wide as its residual path.",
    place="Make up_proj with 4 * embed_dim outputs, and down_proj with as many inputs.",
    shows=[("gpt_has_its_parameters", "differ", "parameters of another shape")],
)
def feed_forward_not_wider(self, embed_dim):
    return nn.ModuleDict({"up_proj": nn.Linear(embed_dim, embed_dim), "down_proj": nn.Linear(embed_dim, embed_dim)})


@also("feed_forward_not_wider", "make_feed_forward")
def feed_forward_twice_as_wide(self, embed_dim):
    return nn.ModuleDict(
        {"up_proj": nn.Linear(embed_dim, 2 * embed_dim), "down_proj": nn.Linear(2 * embed_dim, embed_dim)}
    )


@mistake(
    "places",
    symptom="All tokens of a text get the same position vector: that of its place in the batch.",
    cause="Positions were counted along the batch. The first axis of tokens is the batch, and time the second.",
    place="Use `tokens.shape[1]` for the number of positions.",
    shows=[("gpt_without_layers", "differ")],
)
def positions_along_the_batch(self, tokens):
    return self.position(torch.arange(tokens.shape[0], device=tokens.device))[:, None]


@mistake(
    "embed",
    symptom="Token vectors are larger than the table's by the square root of embed_dim.",
    cause="That factor belongs to the paper of 2017 (section 3.4). GPT-2 has none.",
    place="Add token and position vectors as they are.",
    shows=[("gpt_without_layers", "differ")],
)
def tokens_scaled(self, tokens):
    return self.token(tokens) * math.sqrt(self.token.embedding_dim) + self.places(tokens)


@mistake(
    symptom="The head is tied, and has a bias that the contract does not know.",
    cause="nn.Linear has a bias unless it is told otherwise. GPT-2's head is the token table and nothing else.",
    place="Make it with `bias=False`, or do without a layer: `F.linear(x, self.token.weight)`.",
    shows=[("gpt_has_its_parameters", "differ", "superfluous parameters")],
)
class head_with_a_bias:
    def make_head(self, vocab_size, embed_dim):
        self.head = nn.Linear(embed_dim, vocab_size)
        self.head.weight = self.token.weight

    def score(self, x):
        return self.head(x)


@mistake(
    "score",
    credit=0.5,
    symptom="The logits are right, but the token table is trained from one side only.",
    cause="The head uses the table's numbers without its gradients (`detach`, `.data`, or under `no_grad`). Tied means that both "
    "uses train it.",
    place="Use `self.token.weight` itself.",
    shows=[("gpt_is_tied", "differ"), ("gpt_computes", "right")],
)
def head_detached(self, x):
    return x @ self.token.weight.detach().T


@mistake(
    "answer",
    symptom="Only the logits of the last position come back.",
    cause="That is what is needed to write. To train, every position is asked for the token that follows it.",
    place="Return the logits of all positions; who writes takes the last one: `logits[:, -1]`.",
    shows=[("gpt_returns_logits", "another shape", "shape of logits")],
)
def only_the_last_position(self, logits):
    return logits[:, -1]


@also("only_the_last_position", "answer")
def only_the_last_position_kept(self, logits):
    return logits[:, -1:]


# Part 4: it talks

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


# Part 5: look inside

# logit_lens, the right way, a step at a time


# Only the last of these steps makes a tensor: whether states are stacked before the norm or behind the head is a matter
# of style, so nobody is told that a tensor in between was made nowhere.


@step
def choose_states(states):
    return list(states)


@step
def choose_norm(norm):
    return norm


@step
def read_out(x, head):
    return head(x)


@component("choose_states", "choose_norm", "read_out")
def logit_lens(step, states, norm, head):
    return step.read_out(step.choose_norm(norm)(torch.stack(step.choose_states(states))), head)


@mistake(
    "choose_norm",
    symptom="The states go into the head as they are, without the final norm.",
    cause="The head was trained on what the final norm gives. Without it the logits have another size and another "
    "balance, and a softmax makes something else of them.",
    place="Give the head `norm(state)`.",
    shows=[("lens_reads_each_state", "differ", "logits")],
)
def lens_without_the_norm(norm):
    return lambda x: x


@mistake(
    "choose_norm",
    symptom="All states but the last are right; the last one has not gone through the norm.",
    cause="It is taken for normed already. In the lists of some libraries it is (`hidden_states` of transformers ends "
    "with the normed state); here all states come straight from the layers.",
    place="Treat the last state as the others.",
    shows=[("lens_reads_each_state", "differ", "logits")],
)
def last_state_taken_for_normed(norm):
    return lambda x: torch.cat([norm(x[:-1]), x[-1:]])


@also("last_state_taken_for_normed", "logit_lens")
def last_state_appended_as_it_is(states, norm, head):
    return torch.stack([head(norm(state)) for state in states[:-1]] + [head(states[-1])])


@mistake(
    "choose_norm",
    symptom="Only the last state has gone through the norm.",
    cause="In the model itself the norm stands behind the last layer only. But the head has never seen anything that "
    "was not normed: whoever reads an earlier layer puts norm and head behind that layer.",
    place="Apply the norm to every state.",
    shows=[("lens_reads_each_state", "differ", "logits")],
)
def only_the_last_state_normed(norm):
    return lambda x: torch.cat([x[:-1], norm(x[-1:])])


@mistake(
    "choose_norm",
    symptom="The states go through the norm twice.",
    cause="The norm multiplies by its weight, so a second time changes what the first one has made.",
    place="Call norm once for each state.",
    shows=[("lens_reads_each_state", "differ", "logits")],
)
def lens_normed_twice(norm):
    return lambda x: norm(norm(x))


@mistake(
    "choose_norm",
    symptom="The states are normed, but without the weight that the model has learned.",
    cause="A norm of its own was written, or taken from torch.nn.functional without a weight. The model's norm also "
    "multiplies each feature by a number that it has learned.",
    place="Call the norm that is given.",
    shows=[("lens_reads_each_state", "differ", "logits")],
)
def norm_without_its_weight(norm):
    return lambda x: F.rms_norm(x, x.shape[-1:], eps=1e-5)


@also("norm_without_its_weight", "choose_norm")
def layer_norm_without_a_weight(norm):
    return lambda x: F.layer_norm(x, x.shape[-1:])


@also("norm_without_its_weight", "choose_norm")
def states_of_length_1(norm):
    return lambda x: F.normalize(x, dim=-1)


@mistake(
    "logit_lens",
    symptom="The norm comes behind the head, where its size does not fit.",
    cause="The norm belongs to the states, which have embed_dim features. Logits have vocab_size of them, and are not normed.",
    place="Write `head(norm(state))`: what stands inside is done first.",
    shows=[("lens_reads_each_state", "raise")],
)
def norm_behind_the_head(states, norm, head):
    return torch.stack([norm(head(state)) for state in states])


@mistake(
    "choose_states",
    symptom="Only the first text of the batch is read.",
    cause="The batch was taken off with an index. The result has an axis for it.",
    place="Leave out the index on the first axis of the states.",
    shows=[("lens_reads_each_state", "another shape", "shape of logits")],
)
def only_the_first_text_read(states):
    return [state[0] for state in states]


@also("only_the_first_text_read", "choose_states")
def only_the_first_text_read_with_its_axis(states):
    return [state[:1] for state in states]


@mistake(
    "choose_states",
    symptom="What is read is what each layer has added, not what has come together so far.",
    cause="The difference of two neighbouring states is the contribution of one layer. The lens asks what the model "
    "would say if it ended here, and the model would read the whole sum.",
    place="Give norm and head the states themselves.",
    shows=[("lens_reads_each_state", "differ", "logits")],
)
def contributions_for_states(states):
    return [states[0], *(state - before for before, state in itertools.pairwise(states))]


@mistake(
    "choose_states",
    symptom="The states are added up from layer to layer.",
    cause="Each state is a sum already: of the embedding and of all that the layers so far have added.",
    place="Give norm and head the states themselves.",
    shows=[("lens_reads_each_state", "differ", "logits")],
)
def states_added_up(states):
    return list(torch.stack(states).cumsum(dim=0))


@mistake(
    "choose_states",
    symptom="There is one row too few: the first state is not read.",
    cause="The first state, the embedding, was left out. It is a state of the residual stream like the others, and "
    "the list says which states there are.",
    place="Read all of `states`, from `states[0]` on.",
    shows=[("lens_reads_each_state", "another shape", "shape of logits")],
)
def first_state_left_out(states):
    return states[1:] or [states[0][:0]]


@mistake(
    "choose_states",
    symptom="There is one row too few: the last state is not read.",
    cause="The last state is left out. Its row gives the logits of the model itself, and is the best check.",
    place="Read all of `states`, up to the last.",
    shows=[("lens_reads_each_state", "another shape", "shape of logits")],
)
def last_state_left_out(states):
    return states[:-1] or [states[0][:0]]


@mistake(
    "logit_lens",
    symptom="Only the last state is read.",
    cause="These are the logits of the model as it is. The lens reads every state in the same way.",
    place="Apply norm and head to each state of the list, and stack the results.",
    shows=[("lens_reads_each_state", "another shape", "shape of logits")],
)
def only_the_last_state(states, norm, head):
    return head(norm(states[-1]))


@also("only_the_last_state", "choose_states")
def only_the_last_state_with_its_axis(states):
    return states[-1:]


@mistake(
    "read_out",
    symptom="Only the last position is read.",
    cause="Whoever writes a text needs the last position alone. The lens shows what stands at every position.",
    place="Leave out the index `[:, -1]`.",
    shows=[("lens_reads_each_state", "another shape", "shape of logits")],
)
def lens_of_the_last_position(x, head):
    return head(x[..., -1, :])


@also("lens_of_the_last_position", "read_out")
def only_the_last_position_with_its_axis(x, head):
    return head(x[..., -1:, :])


@mistake(
    "read_out",
    symptom="The last position is left out, as a loss would do.",
    cause="A loss has no target for the last position. The lens needs none: it shows what each position says.",
    place="Leave out the slice `[:, :-1]`.",
    shows=[("lens_reads_each_state", "another shape", "shape of logits")],
)
def last_position_left_out(x, head):
    return head(x[..., :-1, :])


@mistake(
    "read_out",
    credit=0.5,
    symptom="The result has been through a softmax.",
    cause="Asked for are logits. Probabilities are made of them where they are needed, and the logits cannot be had back "
    "from them, except up to a constant.",
    place="Leave out the softmax.",
    shows=[("lens_reads_each_state", "differ", "logits")],
)
def lens_gives_probabilities(x, head):
    return head(x).softmax(dim=-1)


@also("lens_gives_probabilities", "read_out")
def lens_gives_log_probabilities(x, head):
    return head(x).log_softmax(dim=-1)


@mistake(
    "read_out",
    symptom="Token ids come back instead of logits.",
    cause="The likeliest token is chosen already. What the layers think of all the others would be lost.",
    place="Return what the head gives.",
    shows=[("lens_reads_each_state", "another shape", "shape of logits")],
)
def lens_gives_tokens(x, head):
    return head(x).argmax(dim=-1)


@mistake(
    "read_out",
    symptom="The head's bias is missing.",
    cause="The weight of the head was multiplied by hand, and a linear layer may have a bias as well.",
    place="Call the head: `head(x)`.",
    shows=[("lens_reads_each_state", "differ", "logits")],
)
def head_without_its_bias(x, head):
    return x @ head.weight.T


@mistake(
    "read_out",
    symptom="The axes of the result are in another order: the layers come behind the batch.",
    cause="torch.stack puts the new axis where `dim` says. The contract has the layers first.",
    place="Stack along dim 0, which is the default.",
    shows=[("lens_reads_each_state", "another shape", "shape of logits")],
)
def layers_behind_the_batch(x, head):
    return head(x).transpose(0, 1)


@also("layers_behind_the_batch", "logit_lens")
def layers_stacked_behind_the_batch(states, norm, head):
    return torch.stack([head(norm(state)) for state in states], dim=1)


@mistake(
    "read_out",
    symptom="There is no axis for the layers: they follow each other along the batch.",
    cause="torch.cat puts tensors one behind the other along an axis that they have. torch.stack makes a new axis.",
    place="Use torch.stack.",
    shows=[("lens_reads_each_state", "another shape", "shape of logits")],
)
def layers_along_the_batch(x, head):
    return head(x).flatten(0, 1)


@mistake(
    "read_out",
    symptom="A list or tuple comes back, one tensor per state.",
    cause="The numbers were not put together. A picture, and a softmax over all layers, need one tensor.",
    place="Put the tensors together with torch.stack.",
    shows=[("lens_reads_each_state", "differ", "answer")],
)
def logits_in_a_list(x, head):
    return list(head(x))


@mistake(
    "logit_lens",
    credit=0.5,
    symptom="The logits are right, and the list of states has changed.",
    cause="Something else was written into the list that was given. Whoever called the function still needs the states: for "
    "a patch, for example.",
    place="Make a new list instead of assigning to `states[...]`.",
    shows=[("lens_reads_each_state", "right"), ("lens_changes_nothing", "is states")],
)
def states_changed_in_place(states, norm, head):
    for index, state in enumerate(states):
        states[index] = norm(state)
    return torch.stack([head(state) for state in states])


@also("states_changed_in_place", "logit_lens")
def states_taken_off_the_list(states, norm, head):
    logits = []
    while states:
        logits.append(head(norm(states.pop(0))))
    return torch.stack(logits)


# induction_score, the right way


@step
def refuse_length(time, period):
    if time != 2 * period:
        raise ValueError(f"there are {time} positions, but two copies of a period of {period} have {2 * period}")


# The keys are numbers, and one step makes a tensor: the weights may be picked from each layer, or from all at once.


@step
def pair_queries(period):
    return [(query, query - period + 1) for query in range(period, 2 * period)]


@step
def average_weights(picked):
    return picked.mean(dim=(1, 3))


@component("refuse_length", "pair_queries", "average_weights")
def induction_score(step, weights, period):
    step.refuse_length(weights[0].shape[-1], period)
    pairs = step.pair_queries(period)
    return step.average_weights(torch.stack(weights)[..., [query for query, _ in pairs], [key for _, key in pairs]])


@mistake(
    "pair_queries",
    symptom="What is measured is the weight on the first occurrence of the token itself.",
    cause="The key is one place too early, at query - period: there the same token stands. An induction head looks at "
    "what *followed* it, since that is what it wants to write.",
    place="The key is query - period + 1.",
    shows=[("induction_of_perfect_heads", "differ", "scores")],
)
def weight_on_the_same_token(period):
    return [(query, query - period) for query in range(period, 2 * period)]


@mistake(
    "pair_queries",
    symptom="What is measured is the weight on the token before the first occurrence.",
    cause="The sign of the 1 is wrong: the key is at query - period - 1.",
    place="The key is query - period + 1. In A B C A B C the second A is at 3, and it should look at B, at 1.",
    shows=[("induction_of_perfect_heads", "differ", "scores")],
)
def weight_on_the_token_before(period):
    return [(query, max(query - period - 1, 0)) for query in range(period, 2 * period)]


@also("weight_on_the_token_before", "pair_queries")
def weight_on_the_token_before_where_there_is_one(period):
    return [(query, query - period - 1) for query in range(period + 1, 2 * period)] or [(1, 0)]


@also("weight_on_the_token_before", "pair_queries")
def weight_on_the_last_token_for_a_negative_key(period):
    return [(query, query - period - 1) for query in range(period, 2 * period)]


@mistake(
    "pair_queries",
    symptom="What is measured is the weight on the previous token.",
    cause="A head that looks one place back is a previous-token head. Induction needs one as its helper, in an earlier "
    "layer, but it is another head.",
    place="The key is query - period + 1: almost a whole period back.",
    shows=[("induction_of_perfect_heads", "differ", "scores")],
)
def weight_on_the_previous_token(period):
    return [(query, query - 1) for query in range(period, 2 * period)]


@mistake(
    "pair_queries",
    symptom="One query too many counts: the last token of the first copy.",
    cause="The diagonal at 1 - period begins at query period - 1, which looks at key 0. But this token has not occurred "
    "before, so there is nothing to copy from.",
    place="Leave out the first number of the diagonal; the queries are period, ..., 2 * period - 1.",
    shows=[("induction_is_scored", "differ", "scores")],
)
def one_query_too_many(period):
    return [(query, query - period + 1) for query in range(period - 1, 2 * period)]


@mistake(
    "pair_queries",
    symptom="One query too few counts: the last token is left out.",
    cause="After the first occurrence of the last token comes the first token of the second copy, at key `period`. "
    "It is there to be looked at, so this query counts as well.",
    place="The queries are period, ..., 2 * period - 1, and their keys are 1, ..., period.",
    shows=[("induction_is_scored", "differ", "scores")],
)
def last_query_left_out(period):
    return [(query, query - period + 1) for query in range(period, max(2 * period - 1, period + 1))]


@mistake(
    "pair_queries",
    symptom="One query too few counts: the first token of the second copy is left out.",
    cause="That token has occurred before, at position 0, and what followed it there is at position 1.",
    place="The queries begin with `period`.",
    shows=[("induction_is_scored", "differ", "scores")],
)
def first_query_left_out(period):
    return [(query, query - period + 1) for query in range(period + (period > 1), 2 * period)]


@mistake(
    "pair_queries",
    symptom="Queries and keys are exchanged: what is picked lies in the future, where all weights are 0.",
    cause="The last axis holds the keys, the one before it the queries: `weights[..., query, key]`.",
    place="Exchange the two indices, or the sign of the diagonal's offset.",
    shows=[("induction_of_perfect_heads", "differ", "scores")],
)
def queries_and_keys_exchanged(period):
    return [(query - period + 1, query) for query in range(period, 2 * period)]


@mistake(
    "induction_score",
    symptom="All weight on the first copy counts, wherever it lies.",
    cause="A head that looks anywhere into the first copy gets a high score so, one that always looks at the first token "
    "as well. Each query has one key that counts.",
    place="Pick one key for each query, at query - period + 1.",
    shows=[("induction_is_scored", "higher", "scores")],
)
def weight_on_the_whole_first_copy(weights, period):
    refuse_length(weights[0].shape[-1], period)
    return average_weights(torch.stack(weights)[..., period:, :period].sum(dim=-1))


@mistake(
    "induction_score",
    symptom="The weight on the right key is divided by all the weight that goes to the first copy.",
    cause="A head that hardly looks there gets a high score by that. The contract is the weight as it is.",
    place="Leave out the division.",
    shows=[("induction_is_scored", "higher", "scores")],
)
def share_of_the_first_copy(weights, period):
    refuse_length(weights[0].shape[-1], period)
    layers, query = torch.stack(weights), torch.arange(period, 2 * period)
    there = layers[..., period:, : period + 1].sum(dim=-1)
    return average_weights(layers[..., query, query - period + 1] / there)


@mistake(
    "induction_score",
    symptom="It is counted how often the right key has the largest weight.",
    cause="The share of hits says nothing of how strongly a head looks: 0.3 counts as much as 0.9.",
    place="Take the mean of the weights themselves.",
    shows=[("induction_is_scored", "differ", "scores")],
)
def hits_are_counted(weights, period):
    refuse_length(weights[0].shape[-1], period)
    layers = torch.stack(weights)
    wanted = torch.tensor([key for _, key in pair_queries(period)])
    return average_weights((layers[..., period:, :].argmax(dim=-1) == wanted).to(layers.dtype))


@mistake(
    "average_weights",
    symptom="The scores are sums over the queries.",
    cause="A sum grows with the period. A mean lies between 0 and 1, whatever the period is.",
    place="Take the mean over the queries.",
    shows=[("induction_is_scored", "multiple", "scores")],
)
def sum_over_the_queries(picked):
    return picked.sum(dim=3).mean(dim=1)


@also("sum_over_the_queries", "average_weights")
def sum_over_queries_and_texts(picked):
    return picked.sum(dim=(1, 3))


@mistake(
    "average_weights",
    symptom="The scores are half as large as they should be.",
    cause="The sum over the second copy was divided by the number of all positions. The tokens of the first copy have "
    "nothing to look back on, and do not count.",
    place="Divide by the period, the number of queries that count.",
    shows=[("induction_is_scored", "multiple", "scores"), ("induction_is_scored", "smaller", "scores")],
)
def divided_by_all_positions(picked):
    return picked.mean(dim=(1, 3)) / 2


@mistake(
    "average_weights",
    symptom="The largest weight counts, and not the mean.",
    cause="One query that happens to look at the right key makes a head look like an induction head.",
    place="Take the mean over the queries, and over the texts.",
    shows=[("induction_is_scored", "higher", "scores")],
)
def largest_weight_counts(picked):
    return picked.amax(dim=3).mean(dim=1)


@also("largest_weight_counts", "average_weights")
def largest_weight_of_all_texts_counts(picked):
    return picked.amax(dim=(1, 3))


@mistake(
    "average_weights",
    symptom="The heads of a layer are averaged.",
    cause="Heads do different things. What one head does is lost in the mean of all.",
    place="Keep the axis of the heads: the result is [layers, heads].",
    shows=[("induction_is_scored", "another shape", "shape of scores")],
)
def heads_are_averaged(picked):
    return picked.mean(dim=(1, 2, 3))


@mistake(
    "average_weights",
    symptom="The axis of the texts is still there.",
    cause="The mean runs over the queries only. A batch holds several random sequences, so that chance averages out.",
    place="Take the mean over the batch as well.",
    shows=[("induction_is_scored", "another shape", "shape of scores")],
)
def texts_are_not_averaged(picked):
    return picked.mean(dim=3)


@mistake(
    "average_weights",
    symptom="Only the first text of the batch counts.",
    cause="The batch was taken off with an index. The score is the mean over all texts.",
    place="Replace the index by a mean over the axis of the batch.",
    shows=[("induction_is_scored", "differ", "scores")],
)
def only_the_first_text_scored(picked):
    return picked[:, 0].mean(dim=-1)


@mistake(
    "average_weights",
    symptom="The axes are exchanged: a row is a head, and a column is a layer.",
    cause="The layers were stacked along the last axis, or the table was turned over.",
    place="Stack along dim 0: the result is [layers, heads].",
    shows=[("induction_is_scored", "another shape", "shape of scores")],
)
def heads_before_layers(picked):
    return picked.mean(dim=(1, 3)).T


@mistake(
    "average_weights",
    symptom="All heads stand in one row, so that layers and heads cannot be told apart.",
    cause="The scores of the layers were put one behind the other. A head is named by its layer and its number.",
    place="Use torch.stack instead of torch.cat, or leave out flatten.",
    shows=[("induction_is_scored", "another shape", "shape of scores")],
)
def heads_in_one_row(picked):
    return picked.mean(dim=(1, 3)).flatten()


@mistake(
    "average_weights",
    symptom="A list comes back, one tensor per layer.",
    cause="The scores were not put together. A picture of all heads, and the search for the best, need one tensor.",
    place="Put the layers together with torch.stack.",
    shows=[("induction_is_scored", "differ", "answer")],
)
def scores_in_a_list(picked):
    return list(picked.mean(dim=(1, 3)))


@mistake(
    "refuse_length",
    credit=0.5,
    symptom="A length that is not twice the period is accepted.",
    cause="With a token put in front, or a wrong period, all keys are off, and the scores are silently those of something "
    "else.",
    place="Compare the last axis with 2 * period, and raise a ValueError that names both numbers.",
    shows=[("induction_refuses_other_lengths", "differ", "*answer")],
)
def length_is_not_checked(time, period):
    return None


@also("length_is_not_checked", "induction_score")
def a_diagonal_of_any_length(weights, period):
    stripes = [layer.diagonal(1 - period, -2, -1)[..., 1:] for layer in weights]
    return torch.stack([stripe.mean(dim=(0, 2)) for stripe in stripes])


@also("length_is_not_checked", "refuse_length")
def only_short_lengths_are_refused(time, period):
    if time < 2 * period:
        raise ValueError(f"{time} positions are fewer than 2 * {period}")


@also("length_is_not_checked", "refuse_length")
def only_odd_lengths_are_refused(time, period):
    if time % 2:
        raise ValueError(f"{time} positions are no two copies of {period}")


@mistake(
    "refuse_length",
    credit=0.5,
    symptom="The error does not say which numbers do not fit.",
    cause="Whoever reads it wants to know the length and the period, to see which one is wrong.",
    place='Put both into the message: f"... {time} ... {period} ...".',
    shows=[("induction_refuses_other_lengths", "is no", "*names both numbers")],
)
def error_without_numbers(time, period):
    if time != 2 * period:
        raise ValueError("the length is not twice the period")


@mistake(
    "refuse_length",
    credit=0.5,
    symptom="Another exception than ValueError is raised.",
    cause="An assert can be switched off, and says that the code is wrong, not the argument.",
    place="Raise a ValueError.",
    shows=[("induction_refuses_other_lengths", "differ", "*answer")],
)
def another_exception_for_the_length(time, period):
    assert time == 2 * period, f"{time} positions are not twice {period}"


@also("another_exception_for_the_length", "refuse_length")
def index_error_for_the_length(time, period):
    if time != 2 * period:
        raise IndexError(f"{time} positions are not twice {period}")


@mistake(
    "induction_score",
    credit=0.5,
    symptom="The scores are right, and the list of weights has changed.",
    cause="Something else was written into the list that was given, or taken off it. The weights are needed again, to be "
    "looked at.",
    place="Make a new list instead of changing `weights`.",
    shows=[("induction_is_scored", "right"), ("induction_changes_nothing", "is weights")],
)
def weights_changed_in_place(weights, period):
    refuse_length(weights[0].shape[-1], period)
    for index, layer in enumerate(weights):
        weights[index] = layer.mean(dim=0)
    query = torch.arange(period, 2 * period)
    return torch.stack(weights)[..., query, query - period + 1].mean(dim=-1)


@also("weights_changed_in_place", "induction_score")
def weights_taken_off_the_list(weights, period):
    refuse_length(weights[0].shape[-1], period)
    query, scores = torch.arange(period, 2 * period), []
    while weights:
        scores.append(weights.pop(0)[..., query, query - period + 1].mean(dim=(0, 2)))
    return torch.stack(scores)


# patch_activation, the right way


@step
def replace_state(output, position, state):
    """what the layer gives, with the state in its place"""
    patched = output.clone()
    patched[:, position] = state
    return patched


@step
def find_layer(model, layer):
    return model.layers[layer]


@step
def run_patched(model, tokens, place, hook):
    """logits"""
    handle = place.register_forward_hook(hook)
    try:
        return model(tokens)
    finally:
        handle.remove()


@component("replace_state", "find_layer", "run_patched")
def patch_activation(step, model, tokens, layer, position, state):
    def hook(module, given, output):
        return step.replace_state(output, position, state)

    return step.run_patched(model, tokens, step.find_layer(model, layer), hook)


@mistake(
    "replace_state",
    symptom="Nothing is patched: the logits are those of the model as it is.",
    cause="The state does not reach the layers behind. A hook that changes a copy has to return it; and a hook that is "
    "removed before the model runs does nothing.",
    place="Return the changed tensor from the hook, run the model while the hook is in place, and return the logits "
    "of that run.",
    shows=[("patch_replaces_one_state", "differ", "logits")],
)
def nothing_is_patched(output, position, state):
    patched = output.clone()
    patched[:, position] = state


@also("nothing_is_patched", "run_patched")
def hook_removed_before_the_run(model, tokens, place, hook):
    place.register_forward_hook(hook).remove()
    return model(tokens)


@also("nothing_is_patched", "run_patched")
def logits_of_another_run(model, tokens, place, hook):
    with place.register_forward_hook(hook):
        model(tokens)
    return model(tokens)


@mistake(
    "replace_state",
    symptom="All positions get the state.",
    cause="The whole output of the layer was replaced, and with it everything that the model has read. The question is "
    "what this one position carries.",
    place="Replace one position of a copy: `output[:, position] = state`.",
    shows=[("patch_replaces_one_state", "differ", "logits")],
)
def all_positions_patched(output, position, state):
    return state.expand_as(output)


@mistake(
    "replace_state",
    symptom="The state stands at this position and at all behind it.",
    cause="`position:` is a slice up to the end. One position has no colon.",
    place="Write `output[:, position]`.",
    shows=[("patch_replaces_one_state", "differ", "logits")],
)
def patched_from_the_position_on(output, position, state):
    patched = output.clone()
    patched[:, position:] = state
    return patched


@mistake(
    "replace_state",
    symptom="The state stands at this position and at all before it.",
    cause="`: position + 1` is a slice from the beginning. One position has no colon.",
    place="Write `output[:, position]`.",
    shows=[("patch_replaces_one_state", "differ", "logits")],
)
def patched_up_to_the_position(output, position, state):
    patched = output.clone()
    patched[:, : position + 1] = state
    return patched


@mistake(
    "replace_state",
    symptom="The position is looked for along the batch.",
    cause="The first axis of the output is the batch, and the second one is time: `output[position]` is a whole text.",
    place="Write `output[:, position]`.",
    shows=[("patch_replaces_one_state", "differ")],
)
def position_along_the_batch(output, position, state):
    patched = output.clone()
    patched[position] = state
    return patched


@mistake(
    "replace_state",
    symptom="Another position is patched: the one before.",
    cause="Positions are counted from 0 here, as everywhere in PyTorch.",
    place="Use `position` as it comes.",
    shows=[("patch_replaces_one_state", "differ", "logits")],
)
def position_counted_from_1(output, position, state):
    patched = output.clone()
    patched[:, position - 1] = state
    return patched


@mistake(
    "replace_state",
    symptom="Another position is patched: the one behind.",
    cause="The position of the token that is predicted was taken. A state stands where its token was read.",
    place="Use `position` as it comes.",
    shows=[("patch_replaces_one_state", "differ", "logits")],
)
def position_of_the_next_token(output, position, state):
    patched = output.clone()
    patched[:, (position + 1) % output.shape[1]] = state
    return patched


@mistake(
    "replace_state",
    symptom="The state is added to what stood there.",
    cause="To add a vector is another experiment (steering). Here the question is what happens with the state of the "
    "other run in place of this one.",
    place="Assign with `=`, not with `+=`.",
    shows=[("patch_replaces_one_state", "differ", "logits")],
)
def state_is_added(output, position, state):
    patched = output.clone()
    patched[:, position] += state
    return patched


@mistake(
    "replace_state",
    symptom="The position is set to 0 instead of to the state.",
    cause="That is ablation: it asks what is missing without this state. Patching asks what another state brings.",
    place="Assign `state`.",
    shows=[("patch_replaces_one_state", "differ", "logits")],
)
def position_set_to_zero(output, position, state):
    patched = output.clone()
    patched[:, position] = 0.0
    return patched


@mistake(
    "replace_state",
    symptom="Only the first text of the batch is patched.",
    cause="The index 0 on the first axis is the first text.",
    place="Write `output[:, position]`.",
    shows=[("patch_replaces_one_state", "differ", "logits")],
)
def only_the_first_text_patched(output, position, state):
    patched = output.clone()
    patched[0, position] = state
    return patched


@mistake(
    "find_layer",
    symptom="The state is put in one layer too early: before the layer, or behind the one before it.",
    cause="A pre-hook sees what goes into a layer, and `layers[layer - 1]` is the layer before. Layers are counted from 0, "
    "and the state replaces what the layer gives.",
    place="Use `model.layers[layer].register_forward_hook`.",
    shows=[("patch_replaces_one_state", "differ", "logits")],
)
def one_layer_too_early(model, layer):
    return model.layers[layer - 1]


@also("one_layer_too_early", "patch_activation")
def what_goes_into_the_layer(model, tokens, layer, position, state):
    def hook(module, given):
        return (replace_state(given[0], position, state),)

    with model.layers[layer].register_forward_pre_hook(hook):
        return model(tokens)


@mistake(
    "find_layer",
    symptom="The state is put in one layer too late.",
    cause="The list of states begins with the embedding, the list of layers does not: `states[layer + 1]` is what "
    "`model.layers[layer]` gives.",
    place="Use `model.layers[layer]`.",
    shows=[("patch_replaces_one_state", "differ", "logits")],
)
def one_layer_too_late(model, layer):
    return model.layers[(layer + 1) % len(model.layers)]


@also("one_layer_too_late", "find_layer")
def one_layer_too_late_up_to_the_last(model, layer):
    return model.layers[min(layer + 1, len(model.layers) - 1)]


@mistake(
    "patch_activation",
    symptom="The state is put in behind several layers.",
    cause="A hook stands at every layer, or at every one from this layer on. Then what the layers in between make of the "
    "state is thrown away each time.",
    place="Register one hook, at `model.layers[layer]`.",
    shows=[("patch_replaces_one_state", "differ", "logits")],
)
def several_layers_patched(model, tokens, layer, position, state):
    handles = [
        block.register_forward_hook(lambda module, given, output: replace_state(output, position, state))
        for block in model.layers
    ]
    try:
        return model(tokens)
    finally:
        for handle in handles:
            handle.remove()


@also("several_layers_patched", "patch_activation")
def layers_from_this_one_on_patched(model, tokens, layer, position, state):
    x = model.embedding(tokens)
    for index, block in enumerate(model.layers):
        x = block(x)
        if index >= layer:
            x = replace_state(x, position, state)
    return model.head(model.norm(x))


@mistake(
    "patch_activation",
    symptom="The layers behind the patch do not run.",
    cause="Norm and head were put behind the patched state at once: that is the logit lens. A patch asks what the rest of "
    "the model makes of it.",
    place="Let the whole model run, with a hook at one layer.",
    shows=[("patch_replaces_one_state", "differ", "logits")],
)
def layers_behind_left_out(model, tokens, layer, position, state):
    x = model.embedding(tokens)
    for block in model.layers[: layer + 1]:
        x = block(x)
    return model.head(model.norm(replace_state(x, position, state)))


@mistake(
    "patch_activation",
    symptom="The final norm is missing.",
    cause="The layers were run by hand, and the head was given what the last one gives.",
    place="Put `model.norm` in front of `model.head`, or let the model run as a whole.",
    shows=[("patch_replaces_one_state", "differ", "logits")],
)
def final_norm_left_out(model, tokens, layer, position, state):
    x = model.embedding(tokens)
    for index, block in enumerate(model.layers):
        x = block(x)
        if index == layer:
            x = replace_state(x, position, state)
    return model.head(x)


@mistake(
    "run_patched",
    symptom="The hook is still in place afterwards.",
    cause="A hook stays until it is removed. Each later run of the model would be patched as well, by this call and by "
    "all others before it, without a word.",
    place="Keep what register_forward_hook returns, and call its `remove()` in a `finally`, or use it in a `with`.",
    shows=[("patch_leaves_nothing_behind", "differ", "hooks that are left")],
)
def hook_is_left(model, tokens, place, hook):
    place.register_forward_hook(hook)
    return model(tokens)


@mistake(
    "run_patched",
    credit=0.5,
    symptom="If the model raises an error, the hook is still in place afterwards.",
    cause="An error jumps over the line that removes the hook. In a notebook this is the usual case: a cell fails, you "
    "correct it, and the model stays patched for the rest of the day.",
    place="Put the call of the model into `try:` and `handle.remove()` into `finally:`, or use the handle in a `with`.",
    shows=[
        ("patch_cleans_up_after_an_error", "differ", "hooks that are left"),
        ("patch_leaves_nothing_behind", "right"),
    ],
)
def hook_is_left_after_an_error(model, tokens, place, hook):
    handle = place.register_forward_hook(hook)
    logits = model(tokens)
    handle.remove()
    return logits


@mistake(
    "run_patched",
    credit=0.5,
    symptom="Hooks of others are gone afterwards.",
    cause="All hooks of the layer were cleared. Another one, which collects attention or measures time, may have stood "
    "there before.",
    place="Remove your own hook alone, by the handle that register_forward_hook returns.",
    shows=[("patch_leaves_nothing_behind", "is none, and some of others are gone", "hooks that are left")],
)
def hooks_of_others_removed(model, tokens, place, hook):
    place.register_forward_hook(hook)
    try:
        return model(tokens)
    finally:
        place._forward_hooks.clear()


@mistake(
    "run_patched",
    symptom="The model gives other logits afterwards than before, although no hook is left.",
    cause="The layer's own `forward` was replaced, or its numbers were changed. The model has to be as it was.",
    place="Use a forward hook: it changes what comes out of a layer, and nothing of the layer.",
    shows=[
        ("patch_leaves_nothing_behind", "right", "hooks that are left"),
        ("patch_leaves_nothing_behind", "differ", "what the model answers afterwards"),
    ],
)
def forward_is_left_replaced(model, tokens, place, hook):
    before = place.forward
    place.forward = lambda x: hook(place, (x,), before(x))
    return model(tokens)


@mistake(
    "run_patched",
    credit=0.5,
    symptom="If the model raises an error, it gives other logits afterwards than before.",
    cause="A layer, or its `forward`, was exchanged for the run, and an error jumps over the line that puts it back. Every "
    "later run is patched then.",
    place="Use a forward hook, and remove it in a `finally` or with `with`.",
    shows=[
        ("patch_cleans_up_after_an_error", "differ", "what the model answers afterwards"),
        ("patch_leaves_nothing_behind", "right"),
    ],
)
def layer_is_left_exchanged_after_an_error(model, tokens, place, hook):
    before = place.forward
    place.forward = lambda x: hook(place, (x,), before(x))
    logits = model(tokens)
    place.forward = before
    return logits


@also("layer_is_left_exchanged_after_an_error", "patch_activation")
def wrapper_is_left_after_an_error(model, tokens, layer, position, state):
    before = model.layers[layer]

    class Patched(torch.nn.Module):
        def forward(self, x):
            return replace_state(before(x), position, state)

    model.layers[layer] = Patched()
    logits = model(tokens)
    model.layers[layer] = before
    return logits


@mistake(
    "patch_activation",
    symptom="The layers before the patch do not run.",
    cause="The state was put in among the embeddings, and the layers behind went on from there. At the other positions they "
    "need what the layers before have made of the text.",
    place="Let the whole model run, with a hook at one layer.",
    shows=[("patch_replaces_one_state", "differ", "logits")],
)
def layers_before_left_out(model, tokens, layer, position, state):
    x = replace_state(model.embedding(tokens), position, state)
    for block in model.layers[layer + 1 :]:
        x = block(x)
    return model.head(model.norm(x))


@mistake(
    "run_patched",
    symptom="Only the logits of the last position come back.",
    cause="The last position is what writes. But a patch is seen at all positions behind it, and the caller chooses where to "
    "look.",
    place="Return what the model returns.",
    shows=[("patch_replaces_one_state", "another shape", "shape of logits")],
)
def patched_logits_of_the_last_position(model, tokens, place, hook):
    with place.register_forward_hook(hook):
        return model(tokens)[:, -1]


@mistake(
    "patch_activation",
    symptom="Only the logits of the patched position come back.",
    cause="The state is put in there, but it acts on what is read later, mostly at the last position.",
    place="Return what the model returns.",
    shows=[("patch_replaces_one_state", "another shape", "shape of logits")],
)
def patched_logits_of_the_position(model, tokens, layer, position, state):
    with model.layers[layer].register_forward_hook(lambda _, given, output: replace_state(output, position, state)):
        return model(tokens)[:, position]


@mistake(
    "run_patched",
    credit=0.5,
    symptom="The result has been through a softmax.",
    cause="Asked for are logits, as the model gives them. Differences of logits are what patches are measured by.",
    place="Leave out the softmax.",
    shows=[("patch_replaces_one_state", "differ", "logits")],
)
def patched_probabilities(model, tokens, place, hook):
    with place.register_forward_hook(hook):
        return model(tokens).softmax(dim=-1)


@also("patched_probabilities", "run_patched")
def patched_log_probabilities(model, tokens, place, hook):
    with place.register_forward_hook(hook):
        return model(tokens).log_softmax(dim=-1)


@mistake(
    "run_patched",
    symptom="Two values come back instead of the logits alone.",
    cause="The logits without the patch, or the states, are returned as well. The contract is one tensor.",
    place="Return the logits of the patched run.",
    shows=[("patch_replaces_one_state", "differ", "answer")],
)
def clean_and_patched_logits(model, tokens, place, hook):
    clean = model(tokens)
    with place.register_forward_hook(hook):
        return clean, model(tokens)


@mistake(
    "patch_activation",
    credit=0.5,
    symptom="The logits are right, and the tokens or the state have changed.",
    cause="Something was written into an argument in place. It is needed again, for the next patch.",
    place="Change a copy: `output.clone()` in the hook, and nothing of what was given.",
    shows=[("patch_replaces_one_state", "right"), ("patch_changes_no_argument", "differ")],
)
def state_changed_in_place(model, tokens, layer, position, state):
    logits = patch_activation_as_it_is(model, tokens, layer, position, state)
    state -= state.mean()
    return logits


def patch_activation_as_it_is(model, tokens, layer, position, state):
    with model.layers[layer].register_forward_hook(lambda _, given, output: replace_state(output, position, state)):
        return model(tokens)
