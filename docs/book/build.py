"""Build the book: the solved lessons as stored, what people get wrong, the words of the course.

    python docs/book/build.py [--notebooks FOLDER] [--output FOLDER]

Nothing is executed, but for the modules in solutions/mistakes, and nothing is read from the network. Any warning
ends it with status 1.
"""

import argparse
import shutil
import sys
from pathlib import Path

import pages
from sphinx.cmd.build import main as sphinx

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
MISTAKES = REPOSITORY / "solutions/mistakes"


def build(notebooks, output):
    """Write the book of all lessons in a folder; return Sphinx's exit status, 0 if all is well.

    notebooks  a folder of folders, each with a solved notebook
    output     a folder, which is made anew; what Sphinx reads and remembers is put beside it
    """
    source = output.with_name(f"{output.name}-source")
    for folder in (source, output):
        shutil.rmtree(folder, ignore_errors=True)
    lessons = pages.lessons(notebooks)
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    written = {
        **{f"lessons/{lesson.page}.ipynb": pages.notebook(lesson) for lesson in lessons},
        **{f"mistakes/{lesson.page}.md": pages.mistakes(lesson, MISTAKES) for lesson in lessons},
        "routes.txt": pages.routes(readme, lessons),
        "mistakes.md": pages.contents_of_mistakes(HERE / "mistakes.md", lessons),
        "glossary.md": pages.section(readme, "Glossary"),
    }
    shutil.copytree(HERE, source, ignore=shutil.ignore_patterns("*.py", "*.js", "__pycache__", "static"))
    shutil.copy(REPOSITORY / "docs/check.svg", source)
    for name, text in written.items():
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(text, encoding="utf-8")
    return sphinx(["-c", str(HERE), "-b", "html", "-q", "-W", "--keep-going", "-j", "auto",
                   "-d", str(source / ".doctrees"), str(source), str(output)])


def main():
    parser = argparse.ArgumentParser(description="Build the book of the solved lessons.")
    parser.add_argument("--notebooks", type=Path, default=REPOSITORY / "solutions/notebooks")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "build/book")
    given = parser.parse_args()
    status = build(given.notebooks.resolve(), given.output.resolve())
    if status == 0:
        print(f"The book is built: open {given.output / 'index.html'} in a browser")
    return status


if __name__ == "__main__":
    sys.exit(main())
