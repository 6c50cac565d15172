"""Build the book of the solved lessons, or the site of the lessons as learners get them, each with the pages of docs/.

    python docs/book/build.py [--site] [--notebooks FOLDER] [--output FOLDER]

The book holds every answer; the site holds none and may be published. Nothing is executed, except for the modules in
solutions/mistakes, and nothing is read from the network. Any warning ends the build with status 1.
"""

import argparse
import shutil
import sys
from pathlib import Path

import pages
import tree
from sphinx.cmd.build import main as sphinx

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
MISTAKES = REPOSITORY / "solutions/mistakes"


def build(notebooks, output, site=False):
    """Write the book or the site in a folder; return Sphinx's exit status, 0 if all is well.

    notebooks  a folder of folders, each with a notebook: solved ones for the book, skeletons for the site
    output     a folder, which is made anew; what Sphinx reads and remembers is put beside it
    site       True: no page that holds an answer is written
    """
    source = output.with_name(f"{output.name}-source")
    for folder in (source, output):
        shutil.rmtree(folder, ignore_errors=True)
    source.mkdir(parents=True)
    for path in [*REPOSITORY.glob("docs/*.md"), *REPOSITORY.glob("docs/*.svg")]:
        shutil.copy(path, source)
    lessons = pages.lessons(notebooks)
    for name, text in (_site(lessons) if site else _book(lessons)).items():
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(text, encoding="utf-8")
    return sphinx(
        [
            "-c",
            str(HERE),
            "-b",
            "html",
            "-q",
            "-W",
            "--keep-going",
            "-j",
            "auto",
            "-d",
            str(source / ".doctrees"),
            str(source),
            str(output),
        ]
    )


def _site(lessons):
    """Return {file: text} of what only the site has, and of what it shares with the book."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    return {
        "index.md": (HERE / "site.md").read_text(encoding="utf-8"),
        "example.txt": pages.example(readme),
        "routes.txt": pages.routes(readme, lessons),
        "tree.md": tree.as_page(tree.entries()),
        **{f"lessons/{lesson.page}.ipynb": pages.skeleton(lesson) for lesson in lessons},
    }


def _book(lessons):
    """Return {file: text} of what the book has beside the pages of docs/."""
    return _site(lessons) | {
        "index.md": (HERE / "index.md").read_text(encoding="utf-8"),
        "mistakes.md": pages.contents_of_mistakes(HERE / "mistakes.md", lessons),
        **{f"lessons/{lesson.page}.ipynb": pages.notebook(lesson) for lesson in lessons},
        **{f"mistakes/{lesson.page}.md": pages.mistakes(lesson, MISTAKES) for lesson in lessons},
    }


def main():
    parser = argparse.ArgumentParser(description="Build the book of the solved lessons, or a site without answers.")
    parser.add_argument("--site", action="store_true", help="build the site that may be published")
    parser.add_argument("--notebooks", type=Path, help="where they are (solutions/notebooks; course for --site)")
    parser.add_argument("--output", type=Path, help="where to build (build/book; build/docs for --site)")
    given = parser.parse_args()
    notebooks = given.notebooks or REPOSITORY / ("course" if given.site else "solutions/notebooks")
    output = given.output or REPOSITORY / ("build/docs" if given.site else "build/book")
    status = build(notebooks.resolve(), output.resolve(), given.site)
    if status == 0:
        print(f"The {'site' if given.site else 'book'} is built: open {output / 'index.html'} in a browser")
    return status


if __name__ == "__main__":
    sys.exit(main())
