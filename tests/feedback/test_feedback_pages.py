"""In a real browser: pages full of payloads, graded and shown by nbgrader's own means, run and load nothing."""

import http.server
import threading

import browser
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader_course import LESSON, NOTEBOOK, Course, cell_of
from nbgrader_server import Server
from payloads import HTML, MARKDOWN, PRINTED, RUN

NAME = "<img src=x onerror=alert(1)>"
ACTIVE = "script, iframe, object, embed, form, link, base, svg"


class Listener:
    """Counts what reaches a port of this machine: what a page would have sent away or loaded."""

    def __enter__(self):
        asked = self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = str(self.server.server_address[1])
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()


def hostile(course, port):
    """Return right answers among everything that could harm whoever looks at them."""

    def here(payload):
        return payload.replace("PORT", port)

    submission = course.answers()
    html, printed = [here(p) for p in HTML], [here(p) for p in PRINTED]
    shows = (
        f"from IPython.display import display\n"
        f"for html in {html!r}:\n    display({{'text/html': html}}, raw=True)\n"
        f"for kind in ('text/markdown', 'image/svg+xml', 'text/latex', 'application/javascript'):\n"
        f"    for html in {html + [here(p) for p in MARKDOWN]!r}:\n        display({{kind: html}}, raw=True)\n"
    )
    own = [new_markdown_cell(here(payload)) for payload in HTML + MARKDOWN]
    own += [
        new_code_cell(shows),
        new_code_cell(f"for text in {printed!r}:\n    print(text)"),
        new_code_cell(f"class {'E' * 9}(Exception): pass\nraise {'E' * 9}({''.join(html)!r})"),
    ]
    submission.cells[2:2] = own
    cell_of(submission, "why").source = here("Because.\n\n" + "\n\n".join(HTML[:7] + MARKDOWN[:4]) + " $x^2$")
    return submission


class Shown:
    def __init__(self, root, listener):
        self.course, self.listener = Course(root), listener
        self.course.release()
        self.course.submit("mallory", hostile(self.course, listener.port))
        self.course.submit(NAME, b"{")
        self.course.submit(
            "honest",
            self.course.answers(
                scores=("def attention_scores(query, key):\n    return query @ key.transpose(-2, -1)\n")
            ),
        )
        for learner in ("mallory", "honest", NAME):
            done = self.course.api().autograde(LESSON, learner)
            assert done["success"], done["log"]
        self.say("mallory", f"<script>{RUN.replace('PORT', listener.port)}</script>\n\n**Well** put: $y^3$")
        for learner in ("mallory", "honest", NAME):
            done = self.course.api().generate_feedback(LESSON, learner)
            assert done["success"], done["log"]

    def say(self, learner, text):
        with self.course.gradebook() as book:
            book.find_comment("why", NOTEBOOK, LESSON, learner).manual_comment = text
            book.db.commit()

    def page(self, learner):
        return (self.course.root / "feedback" / learner / LESSON / f"{NOTEBOOK}.html").as_uri()


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    if browser.missing():
        pytest.skip(browser.missing())
    with Listener() as listener:
        yield Shown(tmp_path_factory.mktemp("course"), listener)


@pytest.fixture(scope="module")
def chromium():
    if browser.missing():
        pytest.skip(browser.missing())
    with browser.Browser() as chromium:
        yield chromium


def look(chromium, url, waits=2_000, **settings):
    """Open a page, touch everything on it, and return (page, dialogs, requests)."""
    page, dialogs = chromium.page(**settings), []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    before = len(chromium.requests)
    page.goto(url)
    # Every element is pointed at, clicked (links are not followed) and focused; every `details` opens and closes.
    page.evaluate("""() => {
        document.addEventListener("click", (e) => { if (e.target.closest("a")) e.preventDefault(); }, true);
        for (const element of document.querySelectorAll("main *, #notebook *")) {
            for (const kind of ["mouseover", "focus", "toggle", "load", "error", "animationstart", "pointerdown"])
                element.dispatchEvent(new Event(kind, { bubbles: true }));
            if (!element.closest("input, button, textarea")) element.click?.();
        }
    }""")
    page.wait_for_timeout(waits)
    return page, dialogs, chromium.requests[before:]


pages = browser.needed()


@pages
def test_a_feedback_page_full_of_payloads_runs_and_loads_nothing_in_a_real_browser(shown, chromium):
    page, dialogs, requests = look(chromium, shown.page("mallory"))
    assert dialogs == [] and page.title() == f"{NOTEBOOK}: feedback"
    assert requests == [shown.page("mallory")] and shown.listener.asked == []
    assert page.locator(f"{ACTIVE}, input, meta[http-equiv=refresh]").count() == 0
    assert (
        page.evaluate("""() => [...document.querySelectorAll("*")].flatMap((e) => [...e.attributes])
        .filter((a) => a.name.startsWith("on") || /^\\s*(javascript|vbscript|data:text)/i.test(a.value))
        .map((a) => a.name)""")
        == []
    )


@pages
def test_nothing_covers_the_score_of_a_page_full_of_payloads(shown, chromium):
    page, _, _ = look(chromium, shown.page("mallory"), waits=0)
    assert page.evaluate("""() => {
        const seen = (element) => {
            element.scrollIntoView({ block: "center" });
            const box = element.getBoundingClientRect();
            const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
            return element.contains(top) || top.contains(element);
        };
        return [...document.querySelectorAll("h1 .points, h2 .points")].every(seen);
    }""")
    assert "Score: 4.0 / 7.0" in page.locator("header h1").inner_text()


@pages
def test_a_page_full_of_payloads_shows_score_comment_and_the_learners_own_cells(shown, chromium):
    page, _, _ = look(chromium, shown.page("mallory"), waits=0)
    assert page.locator("aside strong").inner_text() == "Well" and page.locator("aside math").count() == 1
    assert page.locator("section.own").count() == len(HTML) + len(MARKDOWN) + 3
    assert "return query @ key" in page.locator("section.answer").first.inner_text()
    assert "<script>" in page.locator("section.own .output").last.inner_text()


@pages
def test_the_diagnosis_opens_a_step_at_a_time(shown, chromium):
    page = chromium.page()
    page.goto(shown.page("honest"))
    check = page.locator("section#check_attention_scores")
    why, where = check.get_by_text("Why?"), check.get_by_text("Where to look")
    assert "The scores are too large" in check.inner_text()
    assert why.is_visible() and not where.is_visible()
    why.click()
    assert check.get_by_text("The scale is missing").is_visible() and where.is_visible()
    where.click()
    assert check.get_by_text("Divide the product").is_visible()
    browser.screenshot(page, "feedback")


@pages
def test_a_page_that_is_dark_can_be_read(shown, chromium):
    page = chromium.page()
    page.emulate_media(color_scheme="dark")
    page.goto(shown.page("honest"))
    colours = page.evaluate("""() => { const s = getComputedStyle(document.body);
        return [s.color, s.backgroundColor].map((c) => c.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0)); }""")
    assert colours[0] - colours[1] > 500
    browser.screenshot(page, "feedback-dark")


@pages
def test_a_learners_name_is_text(shown, chromium):
    page, dialogs, _ = look(chromium, shown.page(NAME), waits=0)
    assert dialogs == [] and page.locator("img").count() == 0
    assert "onerror=alert(1)" in page.locator(".who").inner_text()
    assert (
        "This submission was not graded: The file ends in the middle of the notebook"
        in page.locator(".refused").inner_text()
    )


@pages
def test_the_formgraders_page_of_a_submission_runs_and_loads_nothing_of_a_learner(shown, chromium):
    server = Server(shown.course)
    try:
        for learner in ("mallory", "honest", NAME):
            found = [
                n
                for n in server.get(f"formgrader/api/submitted_notebooks/{LESSON}/{NOTEBOOK}")
                if n["student"] == learner
            ]
            address = f"http://127.0.0.1:{server.port}"
            page, dialogs, requests = look(
                chromium,
                f"{address}/formgrader/submissions/{found[0]['id']}/",
                extra_http_headers={"Authorization": f"token {server.token}"},
            )
            assert dialogs == [] and page.title() == NOTEBOOK
            assert {url for url in requests if not url.startswith((address, "data:"))} == set()
            assert shown.listener.asked == []
            assert page.locator("#notebook").locator(ACTIVE).count() == 0
            # nbgrader's own part of the page works: the points that the gradebook has are in their fields.
            page.wait_for_function(
                f"document.querySelector('#check_merge_heads').placeholder == '{2 * (learner != NAME)}'"
            )
            assert page.locator(".name-shown", has_text=learner).count() == 1
            if learner != NAME:
                browser.screenshot(page, f"formgrader-{learner}")
    finally:
        server.stop()
