"""Which differences of a call's source count."""

import pytest

from dbmanager.cli.ratchet.call_text import normalised


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("sqlite3 . connect ( 'a b' )", "sqlite3.connect('a b')"),
        ("connect(\n    a,\n    b=1,\n)", "connect(a, b=1)"),
        ("connect(\r\n\ta,\r\n)", "connect(a)"),
        ("connect(a,  # one, two\n  b)", "connect(a, b)"),
        ("connect(a \\\n  / b)", "connect(a/b)"),
        ("connect(a if b else c)", "connect(a if b else c)"),
        ("connect('a' if b else\n'c'  'd')", "connect('a' if b else 'c' 'd')"),
        (r"""connect('#, )' , "it's  \"it\"")""", r"""connect('#, )', 'it\'s  "it"')"""),
        ("connect('''a\n  b ''' )", "connect('''a\n  b ''')"),
        ("connect(f'{ a }/b', *[ 1, ], ** {'c' : 2, })", "connect(f'{ a }/b', *[1], **{'c':2})"),
        ("connect(not x, lambda : y)", "connect(not x, lambda:y)"),
        ("connect('unended", "connect('unended"),
    ],
)
def test_blanks_comments_and_last_commas_do_not_count(source: str, text: str) -> None:
    assert normalised(source) == text
    assert normalised(text) == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ('connect("x.db")', "connect('x.db')"),
        ('connect("")', "connect('')"),
        ("""connect("it's")""", r"connect('it\'s')"),
        (r"connect('it\'s')", r"connect('it\'s')"),
        (r"""connect('say \"a\"')""", """connect('say "a"')"""),
        (r'connect("C:\\\\a\\")', r"connect('C:\\\\a\\')"),
        ('connect("""a\n"b"\nit\'s""")', "connect('''a\n\"b\"\nit\\'s''')"),
        ('connect(R"a\\d")', "connect(r'a\\d')"),
        ("""connect(r"it's")""", """connect(r"it's")"""),
        ("""connect(r'say "a"')""", """connect(r'say "a"')"""),
        ('connect(r"""it\'s""")', "connect(r'''it's''')"),
        ('connect(r"""it\'""")', 'connect(r"""it\'""")'),
        ("""connect('a'"b")""", "connect('a' 'b')"),
        ('connect(U"a", B"b", Rb"c")', "connect('a', b'b', rb'c')"),
        ("""connect(f"{d['k']}/a")""", r"connect(f'{d[\'k\']}/a')"),
        ("""connect(f'{d["k"]}/a')""", r"connect(f'{d[\'k\']}/a')"),
        ('connect("a"if"b"else"c")', "connect('a'if'b'else'c')"),
        ('connect(a or"b", prefix"c")', "connect(a or'b', prefix'c')"),
        ('connect(" # no comment, )")', "connect(' # no comment, )')"),
        ('connect("unended', 'connect("unended'),
    ],
)
def test_the_kind_of_quotes_does_not_count(source: str, text: str) -> None:
    assert normalised(source) == text
    assert normalised(text) == text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("connect('a b')", "connect('ab')"),
        ("connect('a')", "connect(b'a')"),
        ("connect('a')", "connect('''a''')"),
        (r"connect('\\n')", r"connect('\n')"),
        (r"connect(r'a')", r"connect('a')"),
        ("connect(a, b)", "connect(a, c)"),
        ("connect('''a\nb''')", "connect('''a b''')"),
        ("connect(not a)", "connect(nota)"),
    ],
)
def test_everything_else_counts(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)
