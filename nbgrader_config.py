"""nbgrader on this repository: where things lie, and the steps that grade a submission.

nbgrader reads this file when one of its commands, or the Jupyter server with the formgrader and the
Validate button, is started in this folder. Classes are named as text, so that reading it imports nothing.
"""

import importlib.util
import os
import sysconfig

c = get_config()  # noqa: F821  (traitlets puts it here)

# nbgrader starts `alembic` by its bare name when it makes a gradebook, also where no environment is activated.
_programs = sysconfig.get_path("scripts")
if _programs not in os.environ.get("PATH", "").split(os.pathsep):
    os.environ["PATH"] = os.pathsep.join([_programs, os.environ.get("PATH", "")])

c.CourseDirectory.course_id = "transformer_taxonomy"
# A folder with nothing but lessons: the formgrader takes every folder in it for an assignment.
c.CourseDirectory.source_directory = "solutions/notebooks"
c.CourseDirectory.release_directory = "course"

# What lies beside an instructor's notebook is published with it, except these; what lies beside a learner's is
# never copied.
c.CourseDirectory.ignore = [
    ".ipynb_checkpoints",
    "__pycache__",
    "feedback",
    "*.py",
    "*.pyc",
    "*.pyd",
    "*.so",
]

# A release is tried before the earlier one is removed.
c.GenerateAssignment.exporter_class = "autograder.authoring.assign.TriedFirst"

# nbgrader's own steps of a release, but for the one that takes the solutions out: it can also leave a cell empty.
c.GenerateAssignment.preprocessors = [
    "nbgrader.preprocessors.IncludeHeaderFooter",
    "nbgrader.preprocessors.InstantiateTests",
    "nbgrader.preprocessors.LockCells",
    "autograder.authoring.clear.ClearAnswers",
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.CheckCellMetadata",
    "nbgrader.preprocessors.ComputeChecksums",
    "nbgrader.preprocessors.SaveCells",
    "nbgrader.preprocessors.ClearHiddenTests",
    "nbgrader.preprocessors.ClearMarkScheme",
    "nbgrader.preprocessors.ComputeChecksums",
    "nbgrader.preprocessors.CheckCellMetadata",
]

# What a learner finds in place of a solution.
c.ClearSolutions.code_stub = {
    "python": '# YOUR CODE HERE\nraise NotImplementedError("this exercise is not solved yet")',
}
c.ClearSolutions.text_stub = "YOUR ANSWER HERE"

# Autograde: read what arrived, put its answers into the released notebook, run that, read the scores.
c.Autograde.exporter_class = "autograder.intake.arrivals.SubmissionExporter"
c.Autograde.sanitize_preprocessors = [
    "autograder.intake.rebuild.Rebuild",
    "nbgrader.preprocessors.OverwriteKernelspec",
    "nbgrader.preprocessors.OverwriteCells",
    "nbgrader.preprocessors.CheckCellMetadata",
]
c.Autograde.autograde_preprocessors = [
    "autograder.grading.run.RunAnswers",
    "nbgrader.preprocessors.LimitOutput",
    "autograder.grading.scores.Score",
    "nbgrader.preprocessors.SaveAutoGrades",
    "autograder.grading.scores.SaveReasons",
    "autograder.grading.manual.KeepGrades",
    "autograder.grading.scores.SaveFlags",
    "nbgrader.preprocessors.AssignLatePenalties",
    "autograder.grading.history.KeepHistory",
    "nbgrader.preprocessors.CheckCellMetadata",
]

# What being late costs: "none" takes no points, and the tables of grades tell the days; "zero" takes all. A due date is
# the assignment's in the gradebook, and whoever has an extension is late after that. A plugin of your own, named in
# c.AssignLatePenalties.plugin_class, can take points by the day. A change here makes `grade` grade everybody again.
c.LateSubmissionPlugin.penalty_method = "none"

# `nbgrader zip_collect`: archives are looked through before they are unpacked.
c.ZipCollectApp.extractor_plugin = "autograder.intake.collect.CheckedExtractor"
c.ZipCollectApp.collector_plugin = "autograder.intake.collect.CheckedCollector"

# Pages with what learners wrote, which are the feedback and the formgrader's page of a submission: cleaned,
# without a script of theirs, and with nothing from the network.
c.HTMLExporter.extra_template_basedirs = [
    os.path.join(os.path.dirname(os.path.abspath(__file__)), "autograder", "templates"),
    *[
        os.path.join(folder, "server_extensions", "formgrader", "templates")
        for folder in importlib.util.find_spec("nbgrader").submodule_search_locations
    ],
]
c.HTMLExporter.preprocessors = ["autograder.feedback.pages.CleanOutputs"]
c.GenerateFeedback.exporter_class = "autograder.grading.tables.FeedbackExporter"
c.GenerateFeedback.preprocessors = [
    "nbgrader.preprocessors.GetGrades",
    "autograder.grading.manual.MarkWaiting",
    "autograder.grading.history.TellWay",
]
c.HTMLExporter.filters = {
    "markdown2html": "autograder.feedback.pages.markdown2html",
    "highlight_code": "autograder.feedback.pages.code2html",
    "ansi2html": "autograder.feedback.pages.ansi",
    "strip_files_prefix": "autograder.feedback.pages.as_it_is",
}

# `nbgrader export`: names that learners chose are no formulas in a spreadsheet.
c.ExportApp.plugin_class = "autograder.grading.tables.GradesExport"

# What nbgrader says in a terminal may quote names that learners chose, and these may hold sequences for it.
c.NbGrader.logging_config = {"formatters": {"console": {"class": "autograder.grading.log.TerminalFormatter"}}}

# These hold for grading and for the Validate button. The kernel is ours and never the one a notebook asks for.
c.Execute.kernel_name = "python3"
c.Execute.timeout = 60  # seconds for one cell
c.Execute.startup_timeout = 120
c.Execute.interrupt_on_timeout = True
c.Execute.iopub_timeout = 30  # for the last output of a cell that ended, also on a machine that is busy
c.Execute.shutdown_kernel = "immediate"
if os.name == "posix":
    c.Execute.kernel_manager_class = "autograder.sandbox.SocketKernelManager"
# Submissions run in a sandbox, and where it does not hold what it promises, grading stops and says so.
# c.SandboxKernelManager.without_sandbox = True lets them run with your rights; their limits are c.SandboxProvisioner's.
c.RunAnswers.kernel_manager_class = "autograder.sandbox.SandboxKernelManager"
c.RunAnswers.budget = 600  # seconds for one submission
c.RunAnswers.solutions = os.path.join(os.path.dirname(os.path.abspath(__file__)), "solutions")
