"""First drafts of every exercise, each made from its solution by one change, and what has to be said of it.

`PYTHONPATH=tests python tests/diagnosing/drafted.py [LESSON ...]` checks all of them and prints what each is told.
"""

import ast
import collections
import copy
import itertools
import linecache
import re
import sys
import warnings

from lessons import LESSONS, read, reference

from autograder.checking import check
from autograder.diagnosing import records

COUNT = itertools.count(1)
SKELETON = ast.parse("raise NotImplementedError('this exercise is not solved yet')").body[0]


def main(tree):
    """Return the function of an answer, or the `forward` of a class."""
    if isinstance(tree, ast.FunctionDef):
        return tree
    return next(one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == "forward")


def constructor(tree):
    return next((one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"), None)


def last(tree):
    """Return the `return` that ends an answer and is its only one; None if there is none."""
    function = main(tree)
    returns = [one for one in ast.walk(function) if isinstance(one, ast.Return)]
    return returns[0] if len(returns) == 1 and function.body[-1] is returns[0] and returns[0].value else None


def is_class(tree):
    return isinstance(tree, ast.ClassDef)


# Each changes a tree in place; False: this answer has no such draft


def skeleton_below(tree):
    function = main(tree)
    function.body.insert(len(function.body) - 1, SKELETON)
    return len(function.body) > 2 + (ast.get_docstring(function) is not None)


def skeleton_above(tree):
    main(tree).body.insert(ast.get_docstring(main(tree)) is not None, SKELETON)


def no_return(tree):
    if not last(tree):
        return False
    main(tree).body[-1] = ast.Assign([ast.Name("result", ast.Store())], last(tree).value)
    return None


def printed(tree):
    if not last(tree):
        return False
    main(tree).body[-1] = ast.Expr(ast.Call(ast.Name("print", ast.Load()), [last(tree).value], []))
    return None


def is_of_several(tree):
    return last(tree) and isinstance(last(tree).value, ast.Tuple)


def exchanged(tree):
    if not is_of_several(tree):
        return False
    values = last(tree).value.elts
    values[0], values[1] = values[1], values[0]
    return None


def only_the_first(tree):
    if not is_of_several(tree):
        return False
    last(tree).value = last(tree).value.elts[0]
    return None


def only_the_last(tree):
    if not is_of_several(tree):
        return False
    last(tree).value = last(tree).value.elts[-1]
    return None


def one_more(tree):
    if not is_of_several(tree):
        return False
    last(tree).value.elts.append(ast.Constant(2))
    return None


def returning(write):
    """Return a change of what is returned, where that is one value."""

    def change(tree):
        if not last(tree) or is_of_several(tree):
            return False
        last(tree).value = ast.parse(write.format(ast.unparse(last(tree).value)), mode="eval").body
        return None

    return change


def generator(tree):
    if not last(tree):
        return False
    main(tree).body[-1] = ast.Expr(ast.Yield(last(tree).value))
    return None


def coroutine(tree):
    if is_class(tree):
        return False
    source = f"async {ast.unparse(tree)}"
    return ast.parse(source).body[0]


def no_super(tree):
    if not is_class(tree) or not constructor(tree):
        return False
    body = constructor(tree).body
    body[:] = [one for one in body if "super()" not in ast.unparse(one)]
    return None


def no_self(tree):
    if not is_class(tree):
        return False
    main(tree).args.args.pop(0)
    return None


def no_self_dot(tree):
    """Leave out `self.` before the first attribute that `forward` uses and no parameter is called like."""
    if not is_class(tree):
        return False
    function = main(tree)
    for parent in ast.walk(function):
        for name, value in ast.iter_fields(parent):
            for place in value if isinstance(value, list) else [value]:
                if isinstance(place, ast.Attribute) and ast.unparse(place.value) == "self":
                    other = ast.Name(place.attr, ast.Load())
                    if place.attr in {one.arg for one in function.args.args} | set(dir(__builtins__)):
                        continue
                    setattr(
                        parent,
                        name,
                        [other if one is place else one for one in value] if isinstance(value, list) else other,
                    )
                    return None
    return False


def undefined(tree):
    """Misspell the last use of a parameter."""
    function = main(tree)
    names = {one.arg for one in function.args.args} - {"self"}
    uses = [one for one in ast.walk(function) if isinstance(one, ast.Name) and one.id in names and len(one.id) > 3]
    uses = [one for one in uses if isinstance(one.ctx, ast.Load)]
    if not uses:
        return False
    uses[-1].id = uses[-1].id[:-2] + uses[-1].id[-1] + uses[-1].id[-2]
    return names.isdisjoint({uses[-1].id})


def a_parameter_less(tree):
    arguments = main(tree).args
    if not [one for one in arguments.args if one.arg != "self"]:
        return False
    arguments.args.pop()
    del arguments.defaults[-1:]
    return None


def no_defaults(tree):
    arguments = main(tree).args
    return bool(arguments.defaults) and (arguments.defaults.clear() or None)


def misspelt_forward(tree):
    if not is_class(tree):
        return False
    main(tree).name = "foward"
    return None


def misspelt_constructor(tree):
    if not is_class(tree) or not constructor(tree):
        return False
    constructor(tree).name = "_init_"
    return None


def no_module(tree):
    if not is_class(tree) or not tree.bases:
        return False
    tree.bases.clear()
    return None


def class_for_a_function(tree):
    if is_class(tree):
        return False
    method = copy.deepcopy(tree)
    method.name = "__init__"
    method.args.args.insert(0, ast.arg("self"))
    return ast.ClassDef(tree.name, [], [], [method], [])


def made_in_forward(tree):
    """Make all layers in `forward`, from sizes that the constructor keeps."""
    if not is_class(tree) or not constructor(tree):
        return False
    start, function = constructor(tree), main(tree)
    sizes = [one.arg for one in [*start.args.args, *start.args.kwonlyargs] if one.arg != "self"]
    made = [one for one in start.body if "super()" not in ast.unparse(one)]
    if not any(re.search(r"self\.\w+ = .*\(", ast.unparse(one)) for one in made):
        return False
    keep = [f"self.kept_{name} = {name}" for name in sizes]
    start.body = ast.parse("\n".join(["super().__init__()", *keep])).body
    back = ast.parse("\n".join(f"{name} = self.kept_{name}" for name in sizes)).body
    taken = {one.arg for one in function.args.args}
    function.body[:0] = [*back, *made]
    return taken.isdisjoint(sizes)


# {name: (what makes it, what has to be said)}
KINDS = {
    "skeleton below": (skeleton_below, r"is still the skeleton's `raise"),
    "skeleton above": (skeleton_above, r"is still the skeleton's `raise"),
    "no return": (no_return, r"returns nothing \(`None`\)\. Its last line is line \d+, `result = "),
    "printed": (printed, r"prints something and returns nothing \(`None`\)\. Its last line is line \d+, `print\("),
    "exchanged": (exchanged, r"values in another order"),
    "only the first": (only_the_first, r"returns (one tensor|a|\d values?|None).* the exercise asks for \d values"),
    "only the last": (only_the_last, r"returns (one tensor|a|\d values?|None).* the exercise asks for \d values"),
    "one more": (one_more, r"returns \d values, and the exercise asks for \d values"),
    "in a tuple": (returning("({},)"), r"returns a tuple with one value in it"),
    "in a list": (returning("[{}]"), r"returns a list with one value in it"),
    "twice": (returning("({0}, {0})"), r"returns a tuple of 2 values.* The first of them is right"),
    "an array": (returning("({}).detach().numpy()"), r"NumPy"),
    "through NumPy": (returning("torch.as_tensor(({}).numpy())"), r"NumPy takes part here"),
    "a function": (returning("({}).sum"), r"returns a function"),
    "a number": (returning("float(({}).sum())"), r"returns a float, and the exercise asks for a tensor"),
    "generator": (generator, r"contains `yield`"),
    "coroutine": (coroutine, r"`async def`"),
    "no super": (no_super, r"`super\(\).__init__\(\)` has not run before"),
    "no self": (no_self, r"`forward` lacks `self`|The name `self` is not defined"),
    "no self.": (no_self_dot, r"is not defined; the object has it: write `self\."),
    "undefined": (undefined, r"The name `\w+` is not defined\. Did you mean"),
    "a parameter less": (a_parameter_less, r"The check calls `.*`, and the parameters of your"),
    "no defaults": (no_defaults, r"The check calls `.*`, and the parameters of your"),
    "misspelt forward": (misspelt_forward, r"has no method `forward`; it has .*`foward`"),
    "misspelt constructor": (misspelt_constructor, r"has no method `__init__`; it has `_init_`"),
    "no module": (no_module, r"is no PyTorch module"),
    "class": (class_for_a_function, r"is a class, and the exercise asks for a function"),
    "made in forward": (made_in_forward, r"made anew in every call"),
}


def source(lesson, exercise, kind):
    """Return the source of a draft, None if this exercise has none of this kind."""
    tree = ast.parse(read(lesson).exercises[exercise].source).body[0]
    if not isinstance(tree, (ast.FunctionDef, ast.ClassDef)):
        return None
    if is_class(tree) and not any(isinstance(one, ast.FunctionDef) and one.name == "forward" for one in tree.body):
        return None
    changed = KINDS[kind][0](tree)
    if changed is False:
        return None
    return ast.unparse(ast.fix_missing_locations(changed if isinstance(changed, ast.AST) else tree))


def defined(lesson, exercise, text):
    """Return the component that a source defines, as if it stood in a notebook of its lesson."""
    names, path = dict(vars(reference(lesson))), f"draft_{next(COUNT)}.py"
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
    exec(compile(text, path, "exec"), names)
    return names[exercise]


def told(lesson, exercise, text):
    """Return the `Result` of a source."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return check.examine(records.read(exercise), {exercise: defined(lesson, exercise, text)}, seconds=60)


if __name__ == "__main__":
    counts = collections.Counter()
    for lesson in sys.argv[1:] or LESSONS:
        for exercise in read(lesson).exercises:
            for kind, (_, says) in KINDS.items():
                text = source(lesson, exercise, kind)
                if text is None:
                    continue
                result = told(lesson, exercise, text)
                first = result.says[0] if result.says else "unsolved" if result.unsolved else "right"
                said = len(result.says) == 1 and re.search(says, first)
                state = "said" if said else "named" if result.mistakes else "right" if result.passed else "other"
                counts[state] += 1
                if state != "said":
                    print(f"{state}: {exercise}, {kind}: {result.mistakes or first[:400]}", flush=True)
    print(dict(counts))
