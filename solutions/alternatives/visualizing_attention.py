"""Right answers to lesson 11 in other styles. What is declared here is accepted on purpose, and stays accepted."""

import torch

from autograder.mistakes import Alternatives

alternatives = accepted = Alternatives()


# collect_attention


@accepted("collect_attention")
def one_sentence_from_the_start(model, source, target, row=0):
    was_training = model.training
    model.eval()
    source, target = source[row : row + 1], target[row : row + 1]
    begin = torch.full_like(target[:, :1], model.bos_id)
    memory, encoder = model.encode(source)
    _, decoder, cross = model.decode(torch.cat([begin, target[:, :-1]], dim=1), memory, source)
    model.train(was_training)
    return encoder, decoder, cross


@accepted("collect_attention")
def indexed_and_unsqueezed(model, source, target, row=0):
    model.train(False)
    read = target.clone()
    read[:, 1:] = target[:, :-1]
    read[:, 0] = model.bos_id
    memory, encoder_weights = model.encode(source)
    logits, self_weights, cross_weights = model.decode(read, memory, source)
    encoder, decoder, cross = [], [], []
    for weights in encoder_weights:
        encoder.append(weights[row].unsqueeze(0).detach())
    for of_itself, of_the_memory in zip(self_weights, cross_weights, strict=True):
        decoder.append(of_itself[row].unsqueeze(0).detach())
        cross.append(of_the_memory[row].unsqueeze(0).detach())
    return [encoder, decoder, cross]


@accepted("collect_attention")
def through_hooks(model, source, target, row=0):
    model.eval()
    kept = {"encoder": [], "decoder": [], "cross": []}
    hooks = []

    def keep(kind):
        return lambda module, given, output: kept[kind].append(output[1][[row]])

    for layer in model.encoder.layers:
        hooks.append(layer.self_attention.register_forward_hook(keep("encoder")))
    for layer in model.decoder.layers:
        hooks.append(layer.self_attention.register_forward_hook(keep("decoder")))
        hooks.append(layer.cross_attention.register_forward_hook(keep("cross")))
    with torch.inference_mode():
        model(source, target)
    for hook in hooks:
        hook.remove()
    return tuple(kept.values())


# show_self_attention


@accepted("show_self_attention")
def by_position(view, weights, tokens, row=0):
    if any(layer.size(-1) != len(tokens) for layer in weights):
        raise ValueError(f"there are {weights[0].size(-1)} positions but {len(tokens)} tokens")
    return view([layer[row].unsqueeze(0) for layer in weights], list(tokens))


@accepted("show_self_attention")
def with_looks(view, weights, tokens, row=0):
    positions = weights[0].shape[2]
    if positions != len(tokens):
        raise ValueError(f"tokens: {len(tokens)}, positions: {positions}")
    chosen = tuple(layer.detach().cpu()[None, row] for layer in weights)
    view(tokens=tuple(tokens), attention=chosen, prettify_tokens=False, include_layers=list(range(len(chosen))))


# show_encoder_decoder


@accepted("show_encoder_decoder")
def a_view_for_each_kind(view, encoder, decoder, cross, source_tokens, target_tokens, bos_token):
    read = ([bos_token] + target_tokens)[:-1]
    view(cross_attention=cross, encoder_tokens=source_tokens, decoder_tokens=read)
    view(encoder_attention=encoder, encoder_tokens=source_tokens)
    view(decoder_attention=decoder, decoder_tokens=read)


@accepted("show_encoder_decoder")
def in_two_views(view, encoder, decoder, cross, source_tokens, target_tokens, bos_token):
    read = list(target_tokens)
    read.insert(0, bos_token)
    read.pop()
    view(encoder_attention=encoder, encoder_tokens=source_tokens)
    return view(decoder_attention=decoder, cross_attention=cross, encoder_tokens=source_tokens, decoder_tokens=read)


# The measures


@accepted("previous_token_score")
def one_weight_at_a_time(weights):
    return torch.stack([weights[..., i, i - 1] for i in range(1, weights.shape[-1])], dim=-1).mean(-1)


@accepted("previous_token_score")
def by_indexing(weights):
    query = torch.arange(1, weights.size(-2), device=weights.device)
    return weights[..., query, query - 1].mean(dim=-1)


@accepted("previous_token_score")
def without_the_first_row(weights):
    return torch.einsum("...ii->...i", weights[..., 1:, :-1]).sum(-1) / (weights.shape[-1] - 1)


@accepted("attention_entropy")
def by_entr(weights):
    return torch.special.entr(weights).sum(-1).mean(-1) / 0.6931471805599453


@accepted("attention_entropy")
def nan_replaced_by_zero(weights):
    return -torch.nan_to_num(weights * weights.log2()).sum(dim=-1).mean(dim=-1)


@accepted("attention_entropy")
def tiny_number_added(weights):
    return -(weights * torch.log2(weights + 1e-10)).sum(-1).mean(-1)


@accepted("attention_entropy")
def by_xlogy(weights):
    one = weights.new_tensor(2.0)
    return -(torch.xlogy(weights, weights) / one.log()).sum((-2, -1)) / weights.shape[-2]


@accepted("attention_distance")
def by_differences_of_lists(weights):
    time = weights.shape[-1]
    apart = weights.new_tensor([[abs(i - j) for j in range(time)] for i in range(time)])
    return (weights * apart).sum((-2, -1)) / time


@accepted("attention_distance")
def by_einsum(weights):
    position = torch.arange(weights.size(-1), dtype=weights.dtype, device=weights.device)
    apart = torch.cdist(position[:, None], position[:, None], p=1)
    return torch.einsum("...qk,qk->...q", weights, apart).mean(-1)


@accepted("attention_distance")
def divided_by_all_weight(weights):
    position = torch.arange(weights.size(-1), device=weights.device)
    apart = (position[None] - position[:, None]).abs()
    return (weights * apart).sum((-2, -1)) / weights.sum((-2, -1))


# find_heads


@accepted("find_heads")
def with_sorted(weights, measure, count=1):
    found = []
    for layer, of_layer in enumerate(weights):
        for head in range(of_layer.shape[1]):
            number = measure(of_layer[:, head]).mean().item()
            found.append((number, layer, head))
    found.sort(reverse=True)
    return torch.tensor([[layer, head] for _, layer, head in found[:count]])


@accepted("find_heads")
def with_unravel_index(weights, measure, count=1):
    scores = measure(torch.stack(list(weights))).mean(dim=1)
    order = torch.argsort(scores.flatten(), descending=True)[:count]
    return torch.stack(torch.unravel_index(order, scores.shape), dim=-1)


# view_bug_input


@accepted("view_bug_input")
def a_causal_table_of_several_heads():
    return torch.zeros(1, 3, 5, 5).masked_fill(torch.ones(5, 5).triu(1) > 0, -torch.inf).softmax(-1)


@accepted("view_bug_input")
def random_scores_after_a_softmax():
    scores = torch.randn(1, 1, 7, 7, generator=torch.Generator().manual_seed(11))
    return scores.softmax(dim=-1).double()


@accepted("view_bug_input")
def all_queries_look_at_the_first_key():
    weights = torch.zeros(1, 1, 4, 4)
    weights[..., 0] = 1.0
    return weights
