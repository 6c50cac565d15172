"""The numbers of a GPT-2 of transformers, under the names that a model of ours has for them."""

# Ours in GPT-2's words. Its Conv1D holds a linear layer's weight transposed.
LINEAR = {
    "self_attention.out_proj": "attn.c_proj",
    "feed_forward.up_proj": "mlp.c_fc",
    "feed_forward.down_proj": "mlp.c_proj",
}


def their_numbers(theirs, read, second_norm, embedding="", decoder=""):
    """Return {our name: tensor} of what `read` finds at each of GPT-2's parameters: the number or its gradient.

    second_norm         our name for the norm in front of the feed-forward network
    embedding, decoder  what our names of tables and of layers begin with
    """
    body = theirs.transformer
    ours = {f"{embedding}token.weight": read(body.wte.weight), f"{embedding}position.weight": read(body.wpe.weight)}
    for kind in ("weight", "bias"):
        ours[f"{decoder}final_norm.{kind}"] = read(getattr(body.ln_f, kind))
    for index, block in enumerate(body.h):
        name = f"{decoder}layers.{index}"
        for kind in ("weight", "bias"):
            thirds = read(getattr(block.attn.c_attn, kind)).chunk(3, dim=-1)
            for projection, third in zip(("q_proj", "k_proj", "v_proj"), thirds, strict=True):
                ours[f"{name}.self_attention.{projection}.{kind}"] = third.mT if kind == "weight" else third
            for mine, other in LINEAR.items():
                number = read(block.get_parameter(f"{other}.{kind}"))
                ours[f"{name}.{mine}.{kind}"] = number.mT if kind == "weight" else number
            for mine, other in {"norm1": "ln_1", second_norm: "ln_2"}.items():
                ours[f"{name}.{mine}.{kind}"] = read(block.get_parameter(f"{other}.{kind}"))
    return ours
