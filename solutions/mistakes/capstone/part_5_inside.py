"""What people get wrong in the capstone, part 5: look inside."""

import itertools

import torch
import torch.nn.functional as F

from autograder.mistakes import Catalogue

catalogue = Catalogue()
step, component, mistake, also = catalogue.step, catalogue.component, catalogue.mistake, catalogue.also

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
