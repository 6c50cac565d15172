"""Names of learners: they are names of folders in `submitted/`, and anybody may have chosen them.

nbgrader takes a learner's name for a pattern, takes blanks off it, and finds it again with a regular expression that
stops at a new line. Here a name is that of one folder, and what no part of nbgrader bears is refused with a reason.
"""

import glob
import os
from typing import Any

from .folder import strange

LONGEST = 128  # characters that nbgrader's gradebook has for a name


def why_refused(name: str) -> str | None:
    """Return why nobody of this name can be graded, and what to do about it; None if all is well."""
    why = strange(name)
    if len(name) > LONGEST:
        why = f"has more than the {LONGEST} characters that the gradebook has for it"
    return f"The name of this learner's folder {why}; rename the folder and grade again." if why else None


def folders(course: Any, step: str) -> tuple[list[str], dict[str, str]]:
    """Return ([folder], {folder: why it is refused}) of whom nbgrader's `student_id` asks for, in one of its steps.

    course  nbgrader's `CourseDirectory`
    step    such as its `submitted_directory`

    Somebody may be called `[A]*`. Who is asked for by their very name is meant, and nobody whom it fits as a pattern.
    """
    exact = course.format_path(step, course.student_id, course.assignment_id)
    if course.student_id != "*" and os.path.lexists(exact):
        found = [exact]
    else:
        names = {"nbgrader_step": step, "student_id": course.student_id, "assignment_id": course.assignment_id}
        found = sorted(glob.glob(os.path.join(glob.escape(course.root), course.directory_structure.format(**names))))
    refused = {folder: why for folder in found if (why := why_refused(learner_of(course, folder)))}
    return [folder for folder in found if folder not in refused], refused


def learner_of(course: Any, folder: str) -> str:
    """Return whose folder this is."""
    parts: list[str] = course.directory_structure.split(os.sep)
    return folder.split(os.sep)[parts.index("{student_id}") - len(parts)]
