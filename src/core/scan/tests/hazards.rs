//! What may go wrong at a call, in corners: each case is a function's body, or a file, and what is told of its first call.

use super::super::hazards::Hazard::{
    self, NestedOpen, NeverClosed, OpenAfterException, OpenAfterReturn, WriteNotCommitted,
};
use super::super::held::Held;
use super::scanned;

const HEAD: &str = "import atexit\nimport contextlib\nimport sqlite3\nimport sys\nfrom contextlib import closing\n\n\n";

fn in_file(text: &str) -> (Held, Vec<Hazard>) {
    let calls = scanned(&[("a.py", &format!("{HEAD}{text}"))]).calls;
    (calls[0].held, calls[0].hazards.clone())
}

fn told(body: &str) -> Vec<Hazard> {
    let body = body
        .replace("connect()", "sqlite3.connect(path)")
        .replace("WRITE", "c.execute('INSERT INTO t VALUES (1)')")
        .replace("READ", "c.execute('SELECT 1')");
    let function = format!("def f(path, x):\n    {}\n", body.replace('\n', "\n    "));
    in_file(&function).1
}

/// Check bodies.
fn check(cases: &[(&str, &[Hazard])]) {
    for (body, hazards) in cases {
        assert_eq!(told(body), *hazards, "{body}");
    }
}

#[test]
fn a_write_is_not_lost_that_goes_with_its_connection_or_is_committed_by_a_call() {
    check(&[
        (
            "c = connect()\nc.execute('CREATE TEMP TABLE x (a)')\nc.execute('INSERT INTO x SELECT 1')\nc.close()",
            &[OpenAfterException],
        ),
        (
            "c = connect()\nc.execute('INSERT INTO temp.x SELECT 1')\nc.close()",
            &[OpenAfterException],
        ),
        (
            "c = connect()\nc.__enter__()\ntry:\n    WRITE\nfinally:\n    c.__exit__(None, None, None)\n    c.close()",
            &[OpenAfterException],
        ),
        (
            "with contextlib.ExitStack() as stack:\n    c = connect()\n    stack.callback(c.close)\n    stack.enter_context(c)\n    WRITE",
            &[],
        ),
        // By `isolation_level`, the fourth one.
        (
            "c = sqlite3.connect(path, 5, 0, None)\nWRITE\nc.close()",
            &[OpenAfterException],
        ),
        (
            "c = sqlite3.connect(path, 5, 0)\nWRITE\nc.close()",
            &[WriteNotCommitted, OpenAfterException],
        ),
        (
            "c = sqlite3.connect('file:x?mode=memory', uri=True)\nWRITE\nc.close()",
            &[OpenAfterException],
        ),
        (
            "c = sqlite3.connect('file:x?mode=memory&cache=shared', uri=True)\nWRITE\nc.close()",
            &[WriteNotCommitted, OpenAfterException],
        ),
    ]);
}

#[test]
fn blocks_within_blocks_are_followed_once_for_each_state() {
    // Without that, each level doubles the time: this would take years.
    let mut body = "c.execute('SELECT 1')".to_owned();
    for level in 0..40 {
        let inner = body.replace('\n', "\n    ");
        body = match level % 2 {
            0 => format!("for y in x:\n    {inner}"),
            _ => format!("try:\n    {inner}\nfinally:\n    print(y)"),
        };
    }
    assert_eq!(
        told(&format!("c = connect()\n{body}\nc.close()")),
        [OpenAfterException]
    );
}

#[test]
fn a_loop_that_goes_on_before_the_close_leaves_a_connection_open() {
    check(&[
        (
            "for y in x:\n    c = connect()\n    if y is None:\n        continue\n    c.close()",
            &[OpenAfterReturn],
        ),
        (
            "for y in x:\n    c = connect()\n    if y is None:\n        break\n    c.close()",
            &[OpenAfterReturn],
        ),
        (
            "while x is not None:\n    c = connect()\n    if x is path:\n        continue\n    c.close()",
            &[OpenAfterReturn],
        ),
        (
            "for y in x:\n    c = connect()\n    try:\n        if y:\n            continue\n        READ\n    finally:\n        c.close()",
            &[],
        ),
        (
            "for y in x:\n    c = connect()\n    if y is None:\n        c.close()\n        continue\n    c.close()",
            &[],
        ),
        // The loop ends, and the connection with it.
        (
            "c = connect()\nfor y in x:\n    if y is None:\n        continue\n    if y is path:\n        break\nc.close()",
            &[],
        ),
        // Opened once, when it is needed first.
        (
            "c = None\nfor y in x:\n    if c is None:\n        c = connect()\nif c:\n    c.close()",
            &[],
        ),
    ]);
}

#[test]
fn the_else_of_a_loop_is_followed_where_the_loop_is_not_broken_off() {
    check(&[
        (
            "c = connect()\nfor y in x:\n    if y is None:\n        break\nelse:\n    c.close()",
            &[OpenAfterReturn],
        ),
        (
            "c = connect()\nwhile x is not None:\n    x = None\nelse:\n    c.close()",
            &[],
        ),
        (
            "c = connect()\nWRITE\nfor y in x:\n    if y is None:\n        break\nelse:\n    c.commit()\nc.close()",
            &[WriteNotCommitted, OpenAfterException],
        ),
        (
            "c = connect()\nWRITE\nfor y in x:\n    if y is None:\n        c.commit()\n        break\nelse:\n    c.commit()\nc.close()",
            &[OpenAfterException],
        ),
    ]);
}

#[test]
fn each_case_of_a_match_is_a_path_of_its_own() {
    check(&[
        (
            "c = connect()\nmatch x:\n    case 1:\n        c.close()\n    case _:\n        c.close()",
            &[],
        ),
        (
            "c = connect()\nmatch x:\n    case 1:\n        c.close()\n    case 2:\n        c.close()",
            &[OpenAfterReturn],
        ),
        (
            "with closing(connect()) as c:\n    WRITE\n    match x:\n        case 1:\n            c.commit()\n        case y:\n            c.commit()",
            &[],
        ),
        (
            "with closing(connect()) as c:\n    WRITE\n    match x:\n        case 1:\n            c.commit()\n        case 2:\n            c.rollback()",
            &[WriteNotCommitted],
        ),
        (
            "with closing(connect()) as c:\n    match x:\n        case 1:\n            WRITE\n        case _:\n            c.commit()",
            &[WriteNotCommitted],
        ),
    ]);
}

#[test]
fn a_connection_that_loses_its_name_stays_open() {
    check(&[
        ("c = connect()\nc = connect()\nc.close()", &[NeverClosed]),
        ("c = connect()\nc = None", &[NeverClosed]),
        // It is in a cycle with its statements: `del` does not close it.
        ("c = connect()\nREAD\ndel c", &[NeverClosed]),
        ("c = connect()\nc.close()\ndel c", &[]),
        (
            "c = connect()\nif x is None:\n    del c\n    return\nc.close()",
            &[OpenAfterReturn],
        ),
        (
            // The second one may not be opened.
            "c = connect()\nif x is None:\n    c = connect()\nc.close()",
            &[OpenAfterReturn, OpenAfterException],
        ),
        ("c = connect()\nc.close()\nc = connect()\nc.close()", &[]),
        (
            "if x is None:\n    c = connect()\nelse:\n    c = connect()\nc.close()",
            &[],
        ),
        // And what it wrote is lost.
        (
            "c = connect()\nWRITE\nc = connect()\nc.commit()\nc.close()",
            &[WriteNotCommitted, NeverClosed, NestedOpen],
        ),
        (
            "with connect() as c:\n    READ\nwith connect() as c:\n    READ\nc.close()",
            &[NeverClosed],
        ),
    ]);
}

#[test]
fn a_block_of_the_connection_itself_is_closed_by_what_stands_behind_it() {
    check(&[
        (
            "with connect() as c:\n    WRITE\nc.close()",
            &[OpenAfterException],
        ),
        (
            "try:\n    with connect() as c:\n        WRITE\nfinally:\n    c.close()",
            &[],
        ),
        ("connect().close()", &[]),
        ("connect().execute('SELECT 1')", &[NeverClosed]),
        ("with connect() as c:\n    WRITE", &[NeverClosed]),
        (
            "c = connect()\ntry:\n    with c:\n        WRITE\nfinally:\n    c.close()",
            &[],
        ),
    ]);
}

#[test]
fn closing_closes_however_it_is_given_the_connection() {
    for (body, held) in [
        (
            "with closing(c := sqlite3.connect(path)):\n        c.execute('SELECT 1')",
            Held::Closing,
        ),
        (
            "with closing(c := sqlite3.connect(path)) as d:\n        d.execute('SELECT 1')",
            Held::Closing,
        ),
        (
            "with contextlib.closing(thing=sqlite3.connect(path)) as c:\n        c.execute('SELECT 1')",
            Held::Closing,
        ),
        (
            "with contextlib.ExitStack() as stack:\n        c = stack.enter_context(closing(sqlite3.connect(path)))\n        c.execute('SELECT 1')",
            Held::Closing,
        ),
        (
            "with closing(sqlite3.connect(path)):\n        pass",
            Held::Closing,
        ),
    ] {
        let told = in_file(&format!("def f(path):\n    {body}\n"));
        assert_eq!(told, (held, vec![]), "{body}");
    }
    check(&[
        (
            "with closing(c := connect()):\n    WRITE",
            &[WriteNotCommitted],
        ),
        (
            "with closing(c := connect()):\n    WRITE\n    c.commit()",
            &[],
        ),
        ("with (c := connect()):\n    WRITE", &[NeverClosed]),
        (
            "if (c := connect()):\n    READ\n    c.close()",
            &[OpenAfterException],
        ),
        (
            "c = connect()\nREAD\nwith closing(c):\n    READ",
            &[OpenAfterException],
        ),
        (
            "c = connect()\nwith closing(c):\n    WRITE",
            &[WriteNotCommitted],
        ),
        ("c = connect()\nwith closing(thing=c):\n    READ", &[]),
        // The first item closes, whatever the others do.
        (
            "with closing(connect()) as c, c:\n    WRITE\n    if x:\n        c.close()\n        return",
            &[WriteNotCommitted],
        ),
        ("with closing(connect()) as c, open(x) as y:\n    READ", &[]),
        (
            "with closing(connect()) as c, closing(c.cursor()) as cur:\n    cur.execute('DELETE FROM t')",
            &[WriteNotCommitted],
        ),
    ]);
}

#[test]
fn the_connection_of_a_cursor_is_the_connection() {
    let cases: &[(&str, &[Hazard])] = &[
        (
            "with closing(connect()) as c:\n    cur = c.cursor()\n    cur.execute('DELETE FROM t')\n    cur.connection.commit()",
            &[],
        ),
        (
            "c = connect()\ncur = c.cursor()\ntry:\n    cur.execute('SELECT 1')\nfinally:\n    cur.connection.close()",
            &[],
        ),
        (
            "with closing(connect()) as c:\n    cur = c.cursor()\n    with cur.connection:\n        cur.execute('DELETE FROM t')",
            &[],
        ),
        (
            "with closing(connect()) as c:\n    cur = c.cursor()\n    cur.connection.execute('DELETE FROM t')",
            &[WriteNotCommitted],
        ),
        (
            "with closing(connect()) as c:\n    WRITE.connection.commit()",
            &[],
        ),
    ];
    check(cases);
}

#[test]
fn what_leaves_by_an_exception_leaves_the_connection_open() {
    check(&[
        (
            "c = connect()\nif x is None:\n    raise ValueError\nc.close()",
            &[OpenAfterException],
        ),
        (
            "c = connect()\nif x is None:\n    sys.exit(1)\nc.close()",
            &[OpenAfterException],
        ),
        (
            "c = connect()\nif x is None:\n    c.close()\n    sys.exit(1)\nc.close()",
            &[],
        ),
        ("c = connect()\nassert x\nc.close()", &[OpenAfterException]),
        (
            "c = connect()\ntry:\n    READ\nexcept sqlite3.Error:\n    c.close()\n    raise\nc.close()",
            &[OpenAfterException],
        ),
        (
            "c = connect()\ntry:\n    READ\nexcept Exception:\n    c.close()\n    raise\nc.close()",
            &[],
        ),
        (
            "try:\n    c = connect()\nexcept sqlite3.Error:\n    return None\nc.close()",
            &[],
        ),
        // Nothing in between can raise.
        ("c = connect()\nc.row_factory = sqlite3.Row\nc.close()", &[]),
        (
            "c = connect()\ncur = c.cursor()\ntry:\n    cur.execute('SELECT 1')\nfinally:\n    cur.close()\n    c.close()",
            &[],
        ),
        // What `sys.exit()` leaves is lost, as by a `return`.
        (
            "with closing(connect()) as c:\n    WRITE\n    if x:\n        sys.exit()\n    c.commit()",
            &[WriteNotCommitted],
        ),
        (
            "with closing(connect()) as c:\n    WRITE\n    if x:\n        sys.exit('it failed')\n    c.commit()",
            &[],
        ),
    ]);
}

#[test]
fn a_finally_closes_only_from_where_its_try_begins() {
    check(&[
        (
            "c = connect()\nif x is None:\n    return None\ntry:\n    READ\nfinally:\n    c.close()",
            &[OpenAfterReturn],
        ),
        (
            "c = connect()\nREAD\ntry:\n    READ\nfinally:\n    c.close()",
            &[OpenAfterException],
        ),
        (
            "c = connect()\ntry:\n    if x:\n        return 1\n    READ\nfinally:\n    c.close()",
            &[],
        ),
        (
            "c = connect()\ntry:\n    READ\nfinally:\n    c.commit()\n    c.close()",
            &[OpenAfterException],
        ),
        // The `else` is not for those who return within the `try`.
        (
            "c = connect()\ntry:\n    if x is None:\n        return 1\nexcept Exception:\n    raise\nelse:\n    c.close()",
            &[OpenAfterReturn],
        ),
        (
            "c = connect()\ntry:\n    WRITE\nexcept sqlite3.Error:\n    pass\nelse:\n    c.commit()\nfinally:\n    c.close()",
            &[],
        ),
        (
            "c = connect()\ntry:\n    WRITE\nexcept sqlite3.Error:\n    c.rollback()\nelse:\n    print('done')\nfinally:\n    c.close()",
            &[WriteNotCommitted],
        ),
    ]);
}

#[test]
fn a_test_of_the_connection_tells_whether_it_was_opened() {
    check(&[
        (
            "c = None\ntry:\n    c = connect()\n    READ\nfinally:\n    if c:\n        c.close()",
            &[],
        ),
        (
            "c = None\ntry:\n    c = connect()\n    READ\nfinally:\n    if c is not None:\n        c.close()",
            &[],
        ),
        (
            "try:\n    c = connect()\n    READ\nfinally:\n    if 'c' in locals():\n        c.close()",
            &[],
        ),
        (
            "c = None\ntry:\n    c = connect()\n    READ\nfinally:\n    c and c.close()",
            &[],
        ),
        (
            "own = x is None\nc = x\nif own:\n    c = connect()\ntry:\n    READ\nfinally:\n    if own:\n        c.close()",
            &[],
        ),
        (
            "c = connect()\nif x is None:\n    c.close()",
            &[OpenAfterReturn],
        ),
    ]);
}

#[test]
fn a_commit_where_something_was_written_is_enough() {
    check(&[
        (
            "with closing(connect()) as c:\n    cur = c.execute('DELETE FROM t')\n    if cur.rowcount > 0:\n        c.commit()",
            &[],
        ),
        (
            "with closing(connect()) as c:\n    WRITE\n    if c.in_transaction:\n        c.commit()",
            &[],
        ),
        (
            "with closing(connect()) as c:\n    changed = False\n    for y in x:\n        WRITE\n        changed = True\n    if changed:\n        c.commit()",
            &[],
        ),
        (
            "with closing(connect()) as c:\n    WRITE\n    if x:\n        c.commit()",
            &[WriteNotCommitted],
        ),
    ]);
}

#[test]
fn what_gets_out_of_sight_may_be_closed_there() {
    check(&[
        ("c = connect()\nx.append(c)", &[]),
        ("c = connect()\nreturn Store(c)", &[]),
        ("c = connect()\nd = c\nd.close()", &[]),
        ("c = connect()\natexit.register(c.close)\nREAD", &[]),
        ("c = connect()\ndef end():\n    c.close()\nend()", &[]),
        (
            "c = connect()\ntry:\n    def save():\n        c.commit()\n    WRITE\n    save()\nfinally:\n    c.close()",
            &[],
        ),
        (
            "c = connect()\ndef rows():\n    return READ.fetchall()\nreturn rows()",
            &[NeverClosed],
        ),
        ("c = connect()\nreturn frame('SELECT 1', c)", &[NeverClosed]),
        (
            "c = connect()\nreturn c.execute('SELECT 1')",
            &[NeverClosed],
        ),
    ]);
    let ends = "def end(c):\n    c.commit()\n    c.close()\n\n\ndef f(path):\n    c = sqlite3.connect(path)\n    c.execute('DELETE FROM t')\n    end(c)\n";
    assert_eq!(in_file(ends).1, [OpenAfterException]);
    let keeps = ends.replace("    c.close()\n", "");
    assert_eq!(in_file(&keeps).1, [NeverClosed]);
}

#[test]
fn a_generator_or_a_coroutine_may_end_where_it_waits() {
    let f = |decorator: &str, body: &str| {
        let text =
            format!("{decorator}def f(path, x):\n    c = sqlite3.connect(path)\n    {body}\n");
        in_file(&text).1
    };
    // It may be left there, or thrown into.
    assert_eq!(f("", "yield x\n    c.close()"), [OpenAfterException]);
    assert_eq!(
        f("", "try:\n        yield x\n    finally:\n        c.close()"),
        []
    );
    assert_eq!(f("async ", "await x\n    c.close()"), [OpenAfterException]);
    assert_eq!(
        f(
            "async ",
            "try:\n        await x\n    finally:\n        c.close()"
        ),
        []
    );
    // What is raised in the block of a context manager is raised at its `yield`.
    assert_eq!(
        f("@contextlib.contextmanager\n", "yield c\n    c.close()"),
        [OpenAfterException]
    );
    assert_eq!(
        f(
            "@contextlib.contextmanager\n",
            "try:\n        yield c\n    finally:\n        c.close()"
        ),
        []
    );
    // A fixture goes on whatever the test did; who closes what a generator gives is not known.
    assert_eq!(f("@pytest.fixture\n", "yield c\n    c.close()"), []);
    assert_eq!(f("", "yield c"), []);
}

#[test]
fn a_module_is_followed_as_a_function_is() {
    let opened = "c = sqlite3.connect('a.db')\n";
    let told = |text: &str| in_file(&format!("{opened}{text}")).1;
    assert_eq!(
        told("c.execute('DELETE FROM t')\nc.close()\n"),
        [WriteNotCommitted, OpenAfterException]
    );
    assert_eq!(
        told("c.execute('DELETE FROM t')\nc.commit()\nc.close()\n"),
        [OpenAfterException]
    );
    assert_eq!(
        told("def save():\n    c.commit()\nc.execute('DELETE FROM t')\nsave()\nc.close()\n"),
        []
    );
}

#[test]
fn blocks_of_aiosqlite_close_and_engines_are_no_connections() {
    let text = "import aiosqlite\nfrom sqlalchemy import create_engine\nasync def f(p):\n    async with aiosqlite.connect(p) as c:\n        \
                await c.execute('DELETE FROM t')\n        STEP\ndef g():\n    e = create_engine('sqlite:///a.db')\n    e.begin()\n";
    let told = |step: &str| -> Vec<Vec<Hazard>> {
        let calls = scanned(&[("a.py", &text.replace("STEP", step))]).calls;
        calls.into_iter().map(|call| call.hazards).collect()
    };
    assert_eq!(told("await c.commit()"), [vec![], vec![]]);
    assert_eq!(told("pass"), [vec![WriteNotCommitted], vec![]]);
}

#[test]
fn a_write_in_progress_stands_in_the_way_of_whoever_opens_the_database_too() {
    let head = "DB = 'a.db'\ndef f():\n    with closing(sqlite3.connect(DB)) as c:\n        ";
    let load = "\n\n\ndef load():\n    with closing(sqlite3.connect(DB)) as d:\n        return d.execute('SELECT 1').fetchall()\n";
    let told = |body: &str, load: &str| {
        let body = body.replace("WRITE", "c.execute('DELETE FROM t')");
        in_file(&format!("{head}{}{load}", body.replace('\n', "\n        "))).1
    };
    // Opened by a function that is called in between.
    assert_eq!(told("WRITE\nload()\nc.commit()", load), [NestedOpen]);
    assert_eq!(told("x = load()\nWRITE\nc.commit()", load), []);
    assert_eq!(told("WRITE\nc.commit()\nload()", load), []);
    assert_eq!(told("WRITE\nother()\nc.commit()", load), []);
    let own = load
        .replace("load():", "load(path):")
        .replace("connect(DB)", "connect(path)");
    assert_eq!(told("WRITE\nload('b.db')\nc.commit()", &own), []);
    assert_eq!(told("WRITE\nload('a.db')\nc.commit()", &own), [NestedOpen]);
    let other = load.replace("connect(DB)", "connect('b.db')");
    assert_eq!(told("WRITE\nload()\nc.commit()", &other), []);
    // A function that stands in the block is called elsewhere.
    assert_eq!(
        told("def load():\n    return sqlite3.connect(DB)\nx = load", ""),
        []
    );
    check(&[
        (
            "c = connect()\nd = connect()\nc.close()\nd.close()",
            &[OpenAfterException],
        ),
        (
            "c = connect()\nWRITE\nd = connect()\nc.commit()\nc.close()\nd.close()",
            &[OpenAfterException, NestedOpen],
        ),
    ]);
}

#[test]
fn a_class_that_keeps_a_connection_and_never_commits_or_closes_is_told_where_it_is_certain() {
    let class = "class Store:\n    def __init__(self, path):\n        self._c = sqlite3.connect(path)\n    \
                 def add(self):\n        self._c.execute('INSERT INTO t VALUES (1)')\n    \
                 def count(self):\n        return self._c.execute('SELECT 1').fetchall()\n";
    let method = |text: &str| format!("{class}    def end(self):\n        {text}\n");
    let told = |text: &str| in_file(text).1;
    assert_eq!(told(class), [WriteNotCommitted, NeverClosed]);
    assert_eq!(told(&method("self._c.commit()")), [NeverClosed]);
    assert_eq!(told(&method("self._c.close()")), [WriteNotCommitted]);
    // One of these commits, closes, or may.
    for (text, hazards) in [
        (method("with self._c: self.add()"), vec![NeverClosed]),
        (method("self._c.executescript('')"), vec![NeverClosed]),
        (method("self._c.execute(self.sql)"), vec![NeverClosed]),
        (
            class.replace("(path)\n", "(path, isolation_level=None)\n"),
            vec![NeverClosed],
        ),
        (
            class.replace("(path)\n", "(path, **self.options)\n"),
            vec![NeverClosed],
        ),
        (
            class.replace("(path)\n", "(':memory:')\n"),
            vec![NeverClosed],
        ),
        (method("return self._c"), vec![]),
        (method("save(self._c)"), vec![]),
        (method("self.d = self._c"), vec![]),
        (method("getattr(self, '_c').commit()"), vec![]),
        (
            method("self._c = None"),
            vec![WriteNotCommitted, NeverClosed],
        ),
        (method("self._c = other()"), vec![]),
        (class.replace("class Store:", "class Store(Base):"), vec![]),
        (format!("{class}class Own(Store):\n    pass\n"), vec![]),
        (
            format!("{class}store = Store('a')\nstore._c.commit()\n"),
            vec![],
        ),
        // Who else uses a public attribute is not known.
        (class.replace("_c", "c"), vec![]),
    ] {
        assert_eq!(told(&text), hazards, "{text}");
    }
    let elsewhere = scanned(&[
        ("a.py", &format!("{HEAD}{class}")),
        (
            "b.py",
            "import sqlite3\nfrom a import Store\nStore('x')._c.commit()\n",
        ),
    ]);
    assert_eq!(elsewhere.calls[0].hazards, []);
}
