"""Which of a lesson's demonstrations official grading may leave out.

Demonstrations and experiments show something to the learner; some of them train a model for a minute. Nobody looks at
them while a class is graded, and no answer needs them, unless a learner's code uses a name that they define.
"""

import ast

from .definitions import notebook_tree


def unneeded(cells):
    """Return the indexes of the released demonstrations that nothing of the learner's needs.

    cells  of a rebuilt notebook; a demonstration is known by its id, and what may be a learner's is all that is
           neither a demonstration nor released as it stands
    """
    demos = {index for index, cell in enumerate(cells) if is_demo(cell)}
    trees = {index: notebook_tree(cell.source) for index, cell in enumerate(cells) if cell.cell_type == "code"}
    wanted = set().union(*(_used(tree) for index, tree in trees.items() if index not in demos))
    needed = set()
    while found := {index for index in demos - needed if _bound(trees[index]) & wanted}:
        needed |= found
        wanted |= set().union(*(_used(trees[index]) for index in found))
    return demos - needed


def is_demo(cell):
    """Tell whether a cell is a demonstration, as it was released."""
    return cell.cell_type == "code" and cell.get("id", "").startswith("demo-")


def _used(tree):
    """Return every name that a cell might look up."""
    if tree is None:
        return set()
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def _bound(tree):
    """Return every name that a cell might define."""
    if tree is None:
        return set()
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    names |= {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    return names | {(alias.asname or alias.name).split(".")[0] for node in ast.walk(tree)
                    if isinstance(node, (ast.Import, ast.ImportFrom)) for alias in node.names}
