"""Right answers to the capstone in other styles."""

import collections
import copy
import heapq
import math
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn

from autograder.mistakes import Alternatives
from workbench.pieces import pieces

alternatives = accepted = Alternatives()

# Part 1: tokens

# train_merges


@accepted("train_merges")
def every_piece_for_itself(text, count):
    words = [[bytes([byte]) for byte in piece.encode("utf-8")] for piece in pieces(text)]
    merges = []
    for _ in range(count):
        counts = collections.Counter(pair for word in words for pair in zip(word, word[1:], strict=False))
        if len(counts) == 0:
            break
        most = max(counts.values())
        left, right = min(pair for pair in counts if counts[pair] == most)
        merges.append((left, right))
        for word in words:
            place = 0
            while place < len(word) - 1:
                if word[place] == left and word[place + 1] == right:
                    word[place : place + 2] = [left + right]
                place += 1
    return merges


@accepted("train_merges")
def counts_kept_up_to_date(text, count):
    times = collections.Counter(pieces(text))
    tokens = {piece: [piece.encode()[i : i + 1] for i in range(len(piece.encode()))] for piece in times}
    counts, where = collections.Counter(), collections.defaultdict(set)

    def add(piece, sign):
        for pair in zip(tokens[piece][:-1], tokens[piece][1:], strict=True):
            counts[pair] += sign * times[piece]
            where[pair].add(piece)

    for piece in times:
        add(piece, 1)
    merges = []
    while len(merges) < count:
        ordered = sorted((-number, pair) for pair, number in counts.items() if number > 0)
        if not ordered:
            return merges
        pair = ordered[0][1]
        merges.append(pair)
        for piece in list(where[pair]):
            add(piece, -1)
            old, new = tokens[piece], []
            while old:
                size = 2 if tuple(old[:2]) == pair else 1
                new.append(b"".join(old[:size]))
                old = old[size:]
            tokens[piece] = new
            add(piece, 1)
    return merges


@accepted("train_merges")
def as_ids_inside(text, count):
    words = collections.Counter(tuple(piece.encode()) for piece in pieces(text))
    made = {byte: bytes([byte]) for byte in range(256)}
    ids = {token: number for number, token in made.items()}
    merges = []
    while len(merges) < count:
        counts = {}
        for word, times in words.items():
            for pair in zip(word, word[1:], strict=False):
                counts[pair] = counts.get(pair, 0) + times
        if not counts:
            break
        first, second = min(counts, key=lambda pair: (-counts[pair], made[pair[0]], made[pair[1]]))
        merges.append((made[first], made[second]))
        token = made[first] + made[second]
        number = ids.setdefault(token, len(ids))
        made[number] = token
        changed = collections.Counter()
        for word, times in words.items():
            new, place = [], 0
            while place < len(word):
                if word[place : place + 2] == (first, second):
                    new.append(number)
                    place += 2
                else:
                    new.append(word[place])
                    place += 1
            changed[tuple(new)] += times
        words = changed
    return merges


# encode


@accepted("encode")
def one_place_at_a_time(text, merges, vocabulary):
    rank = dict(zip(map(tuple, merges), range(len(merges)), strict=True))
    ids = []
    for piece in pieces(text):
        word = [bytes((byte,)) for byte in piece.encode("utf8")]
        word = [token for token in word if token in vocabulary]
        while len(word) > 1:
            ranks = [rank.get(pair, float("inf")) for pair in zip(word, word[1:], strict=False)]
            place = ranks.index(min(ranks))
            if ranks[place] == float("inf"):
                break
            word[place : place + 2] = [word[place] + word[place + 1]]
        ids.extend(vocabulary[token] for token in word)
    return ids


@accepted("encode")
def with_a_queue(text, merges, vocabulary):
    ranks = {pair: place for place, pair in enumerate(merges)}

    def merged(word):
        """Merge with a heap of (rank, place) over a linked list."""
        after = {place: place + 1 for place in range(len(word))}
        before = {place: place - 1 for place in range(len(word))}
        tokens, heap = dict(enumerate(word)), []

        def push(place):
            follows = after.get(place)
            if place in tokens and follows in tokens and (tokens[place], tokens[follows]) in ranks:
                pair = tokens[place], tokens[follows]
                heapq.heappush(heap, (ranks[pair], place, pair))

        for place in range(len(word)):
            push(place)
        while heap:
            _, place, pair = heapq.heappop(heap)
            follows = after.get(place)
            if place not in tokens or (tokens[place], tokens.get(follows)) != pair:
                continue
            tokens[place] = pair[0] + pair[1]
            del tokens[follows]
            after[place] = after[follows]
            before[after[follows]] = place
            push(before[place])
            push(place)
        return [tokens[place] for place in sorted(tokens)]

    return [
        vocabulary[token]
        for piece in pieces(text)
        for token in merged([bytes([byte]) for byte in piece.encode() if bytes([byte]) in vocabulary])
    ]


@accepted("encode")
def searched_in_the_list(text, merges, vocabulary):
    def split(word):
        known = [pair for pair in zip(word, word[1:], strict=False) if pair in merges]
        if not known:
            return word
        left, right = min(known, key=merges.index)
        joined, place = [], 0
        while place < len(word):
            if word[place : place + 2] == [left, right]:
                joined.append(left + right)
                place += 2
            else:
                joined.append(word[place])
                place += 1
        return split(joined)

    ids = ()
    for piece in pieces(text):
        byte_tokens = [bytes([byte]) for byte in bytes(piece, "utf-8")]
        ids += tuple(vocabulary[token] for token in split([one for one in byte_tokens if one in vocabulary]))
    return ids


# decode


@accepted("decode")
def grown_byte_by_byte(ids, vocabulary):
    token_of = dict(zip(vocabulary.values(), vocabulary.keys(), strict=True))
    content = bytearray()
    for number in ids:
        content.extend(token_of[number])
    return str(content, "utf-8", "replace")


@accepted("decode")
def searched_for(ids, vocabulary):
    tokens, numbers = list(vocabulary), list(vocabulary.values())
    return b"".join([tokens[numbers.index(number)] for number in ids]).decode(errors="replace")


# Part 2: training

# initialise


@accepted("initialise")
@torch.no_grad()
def all_first_then_smaller(model, num_layers):
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, mean=0.0, std=0.02)
    for name, parameter in model.named_parameters():
        if name.endswith("out_proj.weight") or name.endswith("down_proj.weight"):
            parameter /= (2 * num_layers) ** 0.5
        if parameter.ndim == 1:
            parameter.copy_(torch.zeros_like(parameter) if "bias" in name else torch.ones_like(parameter))
    return model


@accepted("initialise")
def by_modules(model, num_layers):
    def visit(place, module):
        for name, parameter in module.named_parameters(recurse=False):
            if name == "bias":
                nn.init.zeros_(parameter)
            elif parameter.dim() == 1:
                nn.init.ones_(parameter)
            elif place.split(".")[-1] in ("out_proj", "down_proj"):
                nn.init.normal_(parameter, std=0.02 * (2 * num_layers) ** -0.5)
            else:
                nn.init.normal_(parameter, std=0.02)

    for place, module in model.named_modules():
        visit(place, module)


@accepted("initialise")
def through_data(model, num_layers):
    for name, parameter in dict(model.named_parameters()).items():
        *_, module, kind = name.split(".")
        if kind == "bias":
            parameter.data = torch.zeros_like(parameter.data)
        elif len(parameter.shape) == 1:
            parameter.data.fill_(1)
        else:
            std = 0.02 / math.sqrt(2 * num_layers) if module in {"out_proj", "down_proj"} else 0.02
            parameter.data.copy_(torch.randn(parameter.shape) * std)


@accepted("initialise")
def truncated_far_out(model, num_layers):
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2:
            nn.init.constant_(parameter, 0.0 if name.endswith("bias") else 1.0)
            continue
        nn.init.trunc_normal_(parameter, std=0.02)  # cut at -2 and 2, which is a hundred deviations away
        if name.endswith(("out_proj.weight", "down_proj.weight")):
            with torch.no_grad():
                parameter.mul_(1 / math.sqrt(2 * num_layers))


# text_batch


@accepted("text_batch")
def stacked_slices(ids, batch_size, length, generator):
    starts = torch.randint(0, len(ids) - length, (batch_size,), generator=generator)
    inputs = torch.stack([ids[start : start + length] for start in starts])
    targets = torch.stack([ids[start + 1 : start + 1 + length] for start in starts])
    return inputs, targets


@accepted("text_batch")
def windows_of_the_text(ids, batch_size, length, generator):
    windows = ids.unfold(0, length + 1, 1)  # [starts, length + 1]
    rows = windows[torch.randint(high=windows.size(0), size=[batch_size], generator=generator)]
    return rows[:, :length].contiguous(), rows[:, 1:].contiguous()


@accepted("text_batch")
def through_an_empty_table(ids, batch_size, length, generator):
    pieces = ids.new_empty(batch_size, length + 1)
    starts = torch.randint(ids.numel() - length, size=(batch_size,), generator=generator).tolist()
    for row, start in enumerate(starts):
        pieces[row] = ids[start : start + length + 1]
    return [pieces[:, :-1], pieces[:, 1:]]


# learning_rate


@accepted("learning_rate")
def with_a_tensor(step, steps, warm_up, highest, lowest):
    if step < warm_up:
        return torch.linspace(0, highest, warm_up + 2, dtype=torch.float64)[step + 1].item()
    angle = torch.tensor(math.pi * min(step - warm_up, steps - warm_up) / (steps - warm_up), dtype=torch.float64)
    return float(0.5 * (highest + lowest) + 0.5 * (highest - lowest) * torch.cos(angle))


@accepted("learning_rate")
def by_a_square_of_a_cosine(step, steps, warm_up, highest, lowest):
    assert 0 <= warm_up < steps, f"a warm-up of {warm_up} steps does not fit into {steps}"
    if step >= steps:
        return lowest
    if step >= warm_up:
        left = math.cos(0.5 * math.pi * (step - warm_up) / (steps - warm_up)) ** 2
        return left * highest + (1 - left) * lowest
    return highest / (warm_up + 1) * (step + 1)


@accepted("learning_rate")
def by_torchs_schedulers(step, steps, warm_up, highest, lowest):
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=highest)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps - warm_up, eta_min=lowest)
    if step >= warm_up:
        for _ in range(min(step, steps) - warm_up):
            optimizer.step()
            fall.step()
        return optimizer.param_groups[0]["lr"]
    optimizer = torch.optim.SGD([parameter], lr=highest)
    rise = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / (warm_up + 1), total_iters=warm_up)
    for _ in range(step):
        optimizer.step()
        rise.step()
    return rise.get_last_lr()[0]


@accepted("learning_rate")
def as_a_tensor_without_axes(step, steps, warm_up, highest, lowest):
    rising = torch.tensor(highest) * (step + 1) / (warm_up + 1)
    share = torch.tensor((step - warm_up) / (steps - warm_up)).clamp(0.0, 1.0)
    falling = lowest + (highest - lowest) * 0.5 * (1.0 + torch.cos(share * torch.pi))
    return torch.where(torch.tensor(step < warm_up), rising, falling)


# clip_gradients


@accepted("clip_gradients")
def as_torch_does(gradients, max_norm):
    norm = torch.nn.utils.get_total_norm([gradient for gradient in gradients if gradient is not None])
    factor = torch.clamp(max_norm / (norm + 1e-6), max=1.0)
    return [gradient if gradient is None else gradient * factor for gradient in gradients], norm


@accepted("clip_gradients")
def as_one_long_vector(gradients, max_norm):
    norm = torch.cat([gradient.flatten() for gradient in gradients if gradient is not None]).norm()
    if norm <= max_norm:
        return list(gradients), norm
    clipped = []
    for gradient in gradients:
        clipped.append(None if gradient is None else max_norm * gradient / norm)
    return clipped, norm


@accepted("clip_gradients")
def with_a_number_for_the_norm(gradients, max_norm):
    norm = math.sqrt(sum(gradient.pow(2).sum().item() for gradient in gradients if gradient is not None))
    factor = max_norm / norm if norm > max_norm else 1.0
    return tuple(gradient.mul(factor) if gradient is not None else None for gradient in gradients), torch.tensor(norm)


@accepted("clip_gradients")
def by_norms_of_norms(gradients, max_norm):
    norm = torch.linalg.vector_norm(torch.stack([g.norm() for g in gradients if g is not None]))
    factor = min(1.0, max_norm / (norm.item() + 1e-6))
    return [g if g is None else factor * g for g in gradients], norm


# adamw_step


@accepted("adamw_step")
def with_lerp(parameter, gradient, first, second, step, learning_rate, betas, eps, weight_decay):
    first = torch.lerp(first, gradient, 1 - betas[0])
    second = second.lerp(gradient * gradient, 1 - betas[1])
    root = (second.sqrt() / math.sqrt(1 - betas[1] ** step)).add(eps)
    parameter = parameter * (1 - learning_rate * weight_decay)
    return parameter.addcdiv(first, root, value=-learning_rate / (1 - betas[0] ** step)), first, second


@accepted("adamw_step")
def in_place_on_copies(parameter, gradient, first, second, step, learning_rate, betas, eps, weight_decay):
    parameter, first, second = parameter.clone(), first.clone(), second.clone()
    first.mul_(betas[0]).add_(gradient, alpha=1 - betas[0])
    second.mul_(betas[1]).addcmul_(gradient, gradient, value=1 - betas[1])
    parameter.sub_(learning_rate * weight_decay * parameter)
    unbiased = [mean / (1 - beta**step) for mean, beta in zip((first, second), betas, strict=True)]
    parameter -= learning_rate * unbiased[0] / (unbiased[1] ** 0.5 + eps)
    return [parameter, first, second]


@accepted("adamw_step")
def by_torchs_optimiser(parameter, gradient, first, second, step, learning_rate, betas, eps, weight_decay):
    moved = nn.Parameter(parameter.clone())
    optimizer = torch.optim.AdamW([moved], lr=learning_rate, betas=betas, eps=eps, weight_decay=weight_decay)
    moved.grad = gradient.clone()
    optimizer.state[moved] = {
        "step": torch.tensor(float(step - 1)),
        "exp_avg": first.clone(),
        "exp_avg_sq": second.clone(),
    }
    optimizer.step()
    state = optimizer.state[moved]
    return moved.detach(), state["exp_avg"], state["exp_avg_sq"]


# evaluate


@accepted("evaluate")
@torch.no_grad()
def piece_by_piece(model, ids, length, batch_size):
    training = model.training
    model.eval()
    losses = []
    for start in range(0, len(ids) - 1, length):
        piece = ids[start : start + length + 1]
        losses.append(F.cross_entropy(model(piece[:-1].unsqueeze(0))[0], piece[1:], reduction="none"))
    model.train(training)
    return torch.cat(losses).mean().item()


@accepted("evaluate")
def with_log_softmax(model, ids, length, batch_size):
    mode, device = model.training, next(model.parameters()).device
    model.train(False)
    pieces = ids.to(device)[:-1].split(length), ids.to(device)[1:].split(length)
    rows = list(zip(*pieces, strict=True))
    short = [rows.pop()] if len(rows[-1][0]) < length else []
    try:
        with torch.inference_mode():
            total, count = 0.0, 0
            for group in [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)] + [short] * bool(short):
                inputs, targets = (torch.stack(list(part)) for part in zip(*group, strict=True))
                logs = model(inputs).log_softmax(dim=-1).gather(-1, targets[..., None])
                total -= logs.sum().item()
                count += targets.numel()
    finally:
        model.train(mode)
    return total / count


@accepted("evaluate")
def weighted_means(model, ids, length, batch_size):
    was_training = model.training
    model.eval()
    inputs, targets = ids[:-1], ids[1:]
    full = len(inputs) // length
    with torch.no_grad():
        loss = torch.zeros(())
        for first in range(0, full, batch_size):
            last = min(first + batch_size, full)
            read, asked = (
                part[first * length : last * length].reshape(last - first, length) for part in (inputs, targets)
            )
            loss = loss + F.cross_entropy(model(read).transpose(1, 2), asked) * asked.numel()
        if full * length < len(inputs):
            logits = model(inputs[full * length :].reshape(1, -1))
            loss = loss + nn.CrossEntropyLoss(reduction="sum")(logits.squeeze(0), targets[full * length :])
    if was_training:
        model.train()
    return loss / targets.numel()


# Part 3: a model from an empty cell


@accepted("GPT")
class FusedAndFlash(nn.Module):
    """One projection for query, key and value; PyTorch's attention; a head that is tied under a second name."""

    class Block(nn.Module):
        class Attention(nn.Module):
            def __init__(self, width, heads):
                super().__init__()
                self.heads = heads
                self.in_proj, self.out_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

            def forward(self, x):
                b, t, c = x.size()
                q, k, v = (
                    part.view(b, t, self.heads, c // self.heads).transpose(1, 2) for part in self.in_proj(x).split(c, 2)
                )
                y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
                return self.out_proj(y.transpose(1, 2).contiguous().view(b, t, c))

        class Network(nn.Module):
            def __init__(self, width):
                super().__init__()
                self.up_proj, self.down_proj = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

            def forward(self, x):
                return self.down_proj(F.gelu(self.up_proj(x), approximate="tanh"))

        def __init__(self, width, heads):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.self_attention, self.feed_forward = self.Attention(width, heads), self.Network(width)

        def forward(self, x):
            x = x + self.self_attention(self.norm1(x))
            x = x + self.feed_forward(self.norm2(x))
            return x

    def __init__(self, vocab_size, embed_dim, num_heads, num_layers, max_len):
        super().__init__()
        self.max_len = max_len
        self.head = nn.Linear(embed_dim, vocab_size, bias=False)
        self.token = nn.Embedding(vocab_size, embed_dim)
        self.token.weight = self.head.weight
        self.position = nn.Embedding(max_len, embed_dim)
        self.layers = nn.Sequential(*[self.Block(embed_dim, num_heads) for _ in range(num_layers)])
        self.final_norm = nn.LayerNorm(embed_dim)

    def forward(self, tokens):
        if tokens.size(1) > self.max_len:
            raise ValueError(f"sequence of {tokens.size(1)} tokens, max_len is {self.max_len}")
        places = torch.arange(tokens.size(1), device=tokens.device)
        return self.head(self.final_norm(self.layers(self.token(tokens) + self.position(places))))


@accepted("GPT")
class WithEinsum(nn.Module):
    """No class but one: layers are dictionaries of modules, and products are einsums."""

    def __init__(self, vocab_size, embed_dim, num_heads, num_layers, max_len):
        super().__init__()
        self.sizes = num_heads, embed_dim // num_heads
        self.token, self.position = nn.Embedding(vocab_size, embed_dim), nn.Embedding(max_len, embed_dim)

        def attention():
            names = ["q_proj", "k_proj", "v_proj", "out_proj"]
            return nn.ModuleDict({name: nn.Linear(embed_dim, embed_dim) for name in names})

        def network():
            up, down = nn.Linear(embed_dim, 4 * embed_dim), nn.Linear(4 * embed_dim, embed_dim)
            return nn.ModuleDict(dict(up_proj=up, down_proj=down))

        self.layers = nn.ModuleList()
        for _ in range(num_layers):
            norms = dict(norm1=nn.LayerNorm(embed_dim), norm2=nn.LayerNorm(embed_dim))
            self.layers.append(nn.ModuleDict(norms | dict(self_attention=attention(), feed_forward=network())))
        self.final_norm = nn.LayerNorm(embed_dim)
        self.register_buffer("mask", torch.full((max_len, max_len), -math.inf).triu(1), persistent=False)

    def forward(self, tokens):
        length, longest = tokens.shape[1], len(self.mask)
        if length > longest:
            raise ValueError(f"{length} > {longest}")
        x = self.token(tokens) + self.position.weight[None, :length]
        for layer in self.layers:
            heads, normed = layer["self_attention"], layer["norm1"](x)
            q, k, v = (heads[f"{name}_proj"](normed).unflatten(-1, self.sizes) for name in "qkv")
            scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * self.sizes[1] ** -0.5 + self.mask[:length, :length]
            mixed = torch.einsum("bhqk,bkhd->bqhd", F.softmax(scores, dim=-1), v)
            x = x + heads["out_proj"](mixed.flatten(-2))
            hidden = layer["feed_forward"]["up_proj"](layer["norm2"](x))
            inner = math.sqrt(2 / math.pi) * (hidden + 0.044715 * hidden**3)
            x = x + layer["feed_forward"]["down_proj"](0.5 * hidden * (1 + torch.tanh(inner)))
        return torch.einsum("btd,vd->btv", self.final_norm(x), self.token.weight)


@accepted("GPT")
class WithTorchsAttention(nn.Module):
    """nn.MultiheadAttention, with a mask that says True for what is hidden."""

    def __init__(self, vocab_size, embed_dim, num_heads, num_layers, max_len):
        super().__init__()
        self.token = nn.Embedding(vocab_size, embed_dim)
        self.position = nn.Embedding(max_len, embed_dim)
        self.layers = nn.ModuleList()
        for _ in range(num_layers):
            layer = nn.Module()
            layer.norm1 = nn.LayerNorm(embed_dim)
            layer.self_attention = nn.MultiheadAttention(embed_dim, num_heads, batch_first=True)
            layer.norm2 = nn.LayerNorm(embed_dim)
            layer.feed_forward = nn.Module()
            layer.feed_forward.up_proj = nn.Linear(embed_dim, embed_dim * 4)
            layer.feed_forward.act = nn.GELU(approximate="tanh")
            layer.feed_forward.down_proj = nn.Linear(embed_dim * 4, embed_dim)
            self.layers.append(layer)
        self.final_norm = nn.LayerNorm(embed_dim)
        self.max_len = max_len

    def forward(self, tokens):
        if tokens.shape[-1] > self.max_len:
            raise ValueError(f"at most {self.max_len} tokens, not {tokens.shape[-1]}")
        place = torch.arange(tokens.shape[-1], device=tokens.device)
        x = self.token(tokens) + self.position(place)
        hidden = place[:, None] < place
        for layer in self.layers:
            y = layer.norm1(x)
            x = x + layer.self_attention(y, y, y, attn_mask=hidden, need_weights=False)[0]
            y = layer.feed_forward.up_proj(layer.norm2(x))
            x = x + layer.feed_forward.down_proj(layer.feed_forward.act(y))
        return nn.functional.linear(self.final_norm(x), self.token.weight)


@accepted("GPT")
class HeadByHead(nn.Module):
    """A loop over the heads, each a slice of the features; weights as exponentials of what is not hidden."""

    class Layer(nn.Module):
        def __init__(self, width, heads):
            super().__init__()
            self.heads = heads
            self.norm1 = nn.LayerNorm(width)
            self.norm2 = nn.LayerNorm(width)
            self.self_attention = nn.Module()
            for name in ("q", "k", "v", "out"):
                self.self_attention.add_module(f"{name}_proj", nn.Linear(width, width))
            self.feed_forward = nn.Sequential()
            self.feed_forward.add_module("up_proj", nn.Linear(width, 4 * width))
            self.feed_forward.add_module("gelu", nn.GELU("tanh"))
            self.feed_forward.add_module("down_proj", nn.Linear(4 * width, width))

        def one_head(self, q, k, v):
            scores = torch.matmul(q, k.mT) / q.shape[-1] ** 0.5
            time = scores.shape[-1]
            seen = torch.tril(torch.ones(time, time, dtype=torch.bool, device=scores.device))
            scores = scores.where(seen, torch.finfo(scores.dtype).min)
            powers = torch.exp(scores - scores.amax(-1, keepdim=True))
            return powers / powers.sum(-1, keepdim=True) @ v

        def forward(self, x):
            attention, y = self.self_attention, self.norm1(x)
            projected = [
                part(y).chunk(self.heads, dim=-1) for part in (attention.q_proj, attention.k_proj, attention.v_proj)
            ]
            x = attention.out_proj(torch.cat([self.one_head(*one) for one in zip(*projected, strict=True)], dim=-1)) + x
            return self.feed_forward(self.norm2(x)) + x

    def __init__(self, vocab_size, embed_dim, num_heads, num_layers, max_len):
        super().__init__()
        self.position = nn.Embedding(max_len, embed_dim)
        self.token = nn.Embedding(vocab_size, embed_dim)
        self.final_norm = nn.LayerNorm(embed_dim)
        self.layers = nn.ModuleList([self.Layer(embed_dim, num_heads) for _ in range(num_layers)])

    def forward(self, tokens):
        count = tokens.shape[1]
        if count > self.position.weight.shape[0]:
            raise ValueError(f"{count} tokens do not fit into {self.position.weight.shape[0]} positions")
        x = self.token.weight[tokens] + self.position.weight[:count]
        for layer in self.layers:
            x = layer(x)
        return self.final_norm(x).matmul(self.token.weight.transpose(0, 1))


# Part 4: it talks


@accepted("KeyValueCache")
class PiecesInAList:
    def __init__(self, max_len):
        self.limit, self.pieces = max_len, []

    def __len__(self):
        return sum(key.size(-2) for key, _ in self.pieces)

    def positions(self, count):
        return torch.arange(count) + len(self)

    def append(self, key, value):
        if len(self) + key.size(-2) > self.limit:
            raise ValueError(f"{len(self)} positions and {key.size(-2)} more do not fit into {self.limit}")
        self.pieces.append((key, value))
        keys, values = zip(*self.pieces, strict=True)
        return [torch.cat(keys, -2), torch.cat(values, -2)]


@accepted("KeyValueCache")
class BuffersMadeInAdvance:
    def __init__(self, max_len):
        self.max_len = max_len
        self.length = 0
        self.buffers = None

    def positions(self, count):
        return torch.arange(self.length, self.length + count, dtype=torch.long)

    def append(self, key, value):
        batch, groups, time, head_dim = key.shape
        end = self.length + time
        if end > self.max_len:
            raise ValueError(f"the cache is full: {end} > {self.max_len}")
        if self.buffers is None:
            self.buffers = [
                torch.zeros(batch, groups, self.max_len, head_dim, dtype=key.dtype, device=key.device) for _ in range(2)
            ]
        for buffer, new in zip(self.buffers, (key, value), strict=True):
            buffer[:, :, self.length : end] = new
        self.length = end
        return self.buffers[0][:, :, :end], self.buffers[1][:, :, :end]


@accepted("KeyValueCache")
class OneTensorForBoth:
    def __init__(self, max_len):
        self.max_len, self.both = max_len, None

    @property
    def read(self):
        return 0 if self.both is None else self.both.shape[3]

    def positions(self, count):
        return torch.tensor([self.read + number for number in range(count)], dtype=torch.int64)

    def append(self, key, value):
        new = torch.stack([key, value])
        both = new if self.both is None else torch.cat([self.both, new], dim=3)
        if both.shape[3] > self.max_len:
            raise ValueError(f"{both.shape[3]} positions, and max_len is {self.max_len}")
        self.both = both
        return both[0], both[1]


@accepted("chat_prompt")
def written_by_hand(messages, encode, start_id, end_id):
    ids = []

    def add(role, content):
        ids.append(start_id)
        ids.extend(encode(role + "\n" + content))
        ids.append(end_id)
        ids.extend(encode("\n"))

    if not any(message["role"] == "system" for message in messages[:1]):
        add("system", "You are a helpful AI assistant named SmolLM, trained by Hugging Face")
    for message in messages:
        add(message["role"], message["content"])
    ids.append(start_id)
    ids.extend(encode("assistant\n"))
    return torch.as_tensor(ids, dtype=torch.long).unsqueeze(0)


@accepted("chat_prompt")
def from_tensors(messages, encode, start_id, end_id):
    conversation = list(messages)
    if conversation[0]["role"] != "system":
        conversation.insert(
            0, dict(role="system", content="You are a helpful AI assistant named SmolLM, trained by Hugging Face")
        )
    start, end, line = torch.tensor([start_id]), torch.tensor([end_id]), torch.tensor(encode("\n"))
    prompt = []
    for message in conversation:
        prompt += [start, torch.tensor(encode("\n".join([message["role"], message["content"]]))), end, line]
    return torch.cat([*prompt, start, torch.tensor(encode("assistant\n"))])[None, :]


@accepted("stream_text")
def by_the_codec(ids, token_bytes, show):
    waiting = b""
    for number in ids:
        waiting += token_bytes[number]
        text, start = "", 0
        while start < len(waiting):
            try:
                text += waiting[start:].decode()
                start = len(waiting)
            except UnicodeDecodeError as error:
                text += waiting[start : start + error.start].decode()
                start += error.start
                if error.reason == "unexpected end of data":
                    break
                text += "\ufffd"
                start += error.end - error.start
        waiting = waiting[start:]
        if text:
            show(text)
    if waiting:
        show(waiting.decode(errors="replace"))


@accepted("stream_text")
def by_the_first_bytes(ids, token_bytes, show):
    waiting = bytearray()

    def missing():
        """Return how many bytes at the end belong to a letter that has more."""
        for back, byte in enumerate(reversed(waiting[-3:]), 1):
            if byte < 0x80:
                return 0
            if byte >= 0xC0:
                needs = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2
                return back if needs > back else 0
        return 0

    for number in ids:
        waiting.extend(token_bytes[number])
        keep = len(waiting) - missing()
        if keep > 0:
            show(str(waiting[:keep], "utf-8", "replace"))
            del waiting[:keep]
    if len(waiting) > 0:
        show(waiting.decode("utf-8", "replace"))


# Part 5: look inside

# logit_lens


@accepted("logit_lens")
def lens_by_a_loop(states, norm, head):
    logits = []
    for state in states:
        logits.append(head(norm(state)))
    return torch.stack(logits)


@accepted("logit_lens")
@torch.no_grad()
def lens_into_an_empty_table(states, norm, head):
    first = head(norm(states[0]))
    table = first.new_empty(len(states), *first.shape)
    for layer, state in enumerate(states):
        table[layer] = head(norm(state))
    return table


@accepted("logit_lens")
def lens_of_all_texts_in_a_row(states, norm, head):
    logits = head(norm(torch.cat(states)))
    return logits.unflatten(0, (len(states), states[0].shape[0]))


# induction_score


def _refuse_another_length(time, period):
    if time != 2 * period:
        raise ValueError(f"there are {time} positions, not 2 * {period}")


@accepted("induction_score")
def score_by_indices(weights, period):
    _refuse_another_length(weights[0].shape[-1], period)
    query = torch.arange(period, 2 * period)
    return torch.stack([layer[:, :, query, query - period + 1].mean(dim=(0, 2)) for layer in weights])


@accepted("induction_score")
def score_by_a_diagonal(weights, period):
    _refuse_another_length(weights[0].shape[-2], period)
    stripes = torch.stack(weights).diagonal(offset=1 - period, dim1=-2, dim2=-1)  # its first query is period - 1
    return stripes[..., 1:].mean(dim=-1).mean(dim=1)


@accepted("induction_score")
def score_by_a_mask(weights, period):
    layers = torch.stack(weights)
    time = layers.shape[-1]
    _refuse_another_length(time, period)
    mask = torch.zeros(time, time, dtype=layers.dtype)
    for query in range(period, time):
        mask[query, query - period + 1] = 1.0
    return torch.einsum("lbhqk,qk->lh", layers, mask) / (period * layers.shape[1])


@accepted("induction_score")
def score_head_by_head(weights, period):
    if weights[0].size(-1) != period * 2:
        raise ValueError(f"period {period} does not fit {weights[0].size(-1)} positions")
    scores = torch.zeros(len(weights), weights[0].size(1), dtype=weights[0].dtype)
    for layer, table in enumerate(weights):
        for head in range(table.size(1)):
            picked = [table[:, head, period + step, step + 1].mean() for step in range(period)]
            scores[layer, head] = sum(picked) / len(picked)
    return scores


# patch_activation


@accepted("patch_activation")
def patch_in_place_in_the_hook(model, tokens, layer, position, state):
    def replace(module, inputs, output):
        output[:, position] = state

    handle = model.layers[layer].register_forward_hook(replace)
    try:
        with torch.no_grad():
            return model(tokens)
    finally:
        handle.remove()


@accepted("patch_activation")
def patch_with_a_mask(model, tokens, layer, position, state):
    here = (torch.arange(tokens.shape[1]) == position)[None, :, None]
    with model.layers[layer].register_forward_hook(lambda module, given, output: torch.where(here, state, output)):
        return model(tokens)


@accepted("patch_activation")
def patch_layer_by_layer(model, tokens, layer, position, state):
    x = model.embedding(tokens)
    for index, block in enumerate(model.layers):
        x = block(x)
        if index == layer:
            x = torch.cat([x[:, :position], state.expand(len(x), 1, -1), x[:, position + 1 :]], dim=1)
    return model.head(model.norm(x))


@accepted("patch_activation")
def patch_a_copy(model, tokens, layer, position, state):
    def replace(module, inputs, output):
        output = output.clone()
        output[:, position, :] = state
        return output

    other = copy.deepcopy(model)
    other.layers[layer].register_forward_hook(replace)
    return other(tokens)


@accepted("patch_activation")
def patch_by_a_context_manager(model, tokens, layer, position, state):
    @contextmanager
    def hooked(module, hook):
        handle = module.register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()

    def replace(module, inputs, output):
        others = torch.ones(output.shape[1], 1, dtype=output.dtype)
        others[position] = 0
        return output * others + (1 - others) * state

    with hooked(model.layers[layer], replace), torch.inference_mode():
        return model(tokens)
