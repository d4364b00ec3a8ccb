"""CSV and lines of URLs: which column is which, what is refused, and which line an error names."""

from __future__ import annotations

import pytest

from producer.contract.errors import InvalidJob
from producer.contract.job import id_of_url
from producer.operations.input.columns import Columns
from producer.operations.input.rows import UnreadableInput
from tests.support.input_rows import pairs, read

A, B = "https://host/a.jpg", "https://host/b.jpg"
COMMAS = "https://host/w_200,h_100/a.jpg;v=2?size=1,2"


@pytest.mark.parametrize(
    "text",
    [
        f"id,url\na,{A}\nb,{B}\n",
        f"url,id\n{A},a\n{B},b\n",
        f"_id;imageUrl\na;{A}\nb;{B}\n",
        f"Titel\tImage URL\tImage-ID\nx\t{A}\ta\ny\t{B}\tb\n",
        f"id|url\na|{A}\nb|{B}\n",
        f"_id,id,photo_url\na,other,{A}\nb,other,{B}\n",
        f"\ufeffid,url\r\na,{A}\r\n\r\nb,{B}\r\n",
        f"id,url\ra,{A}\rb,{B}",
        f'"id", "url"\n"a", "{A}"\n"b", "{B}"\n',
        f'id,url,text\na,{A},"one\ntwo"\nb,{B},"say ""hi"""\n',
        f'id,url,"a\nb",c\na,{A},1,2\nb,{B},3,4\n',
        f"# photos\n\nid,url\n# first\na,{A}\nb,{B}\n",
        f"a,{A}\nb,{B}\n",
        f"a;{A}\nb;{B}\n",
        f"a\t{A}\nb\t{B}\n",
    ],
)
def test_the_columns_are_found_by_the_names_in_the_header_or_are_an_id_and_a_url(text: str) -> None:
    assert pairs(read(text)) == [("a", A), ("b", B)]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        (f"{A},a\n{B},b\n", "url,id"),
        (f"{A};a\n{B};b\n", "url,_id"),
        (f"{A}\tx\ta\n{B}\ty\tb\n", "url,-,id"),
        (f"x,a,{A}\ny,b,{B}\n", "-,id,imageUrl"),
        (f"URL;ID\n{A};a\n{B};b\n", "url,id"),
        (f"Foto;Bild-URL\na;{A}\nb;{B}\n", "id=Foto,url=Bild-URL"),
        (f"url,id,imageUrl\nx,a,{A}\ny,b,{B}\n", "id=id,url=imageUrl"),
    ],
)
def test_the_columns_may_be_given(text: str, columns: str) -> None:
    assert pairs(read(text, columns=columns)) == [("a", A), ("b", B)]


def test_a_given_delimiter_decides_between_two_that_fit() -> None:
    text = "https://host/a;b.jpg,c\n"
    with pytest.raises(UnreadableInput, match=r"line 1: more than one delimiter fits .* --delimiter"):
        read(text, columns="url,id")
    assert pairs(read(text, columns="url,id", delimiter=",")) == [("c", "https://host/a;b.jpg")]


@pytest.mark.parametrize(
    "text", [f"{A}\n{COMMAS}\n", f"url\n{A}\n{COMMAS}\n", f"sku,url\nx,{A}\ny,{COMMAS}\n", f"# mine\n{A}\n\n{COMMAS}"]
)
def test_without_ids_they_are_made_from_the_urls(text: str) -> None:
    columns = "url=url" if text.startswith("sku") else None
    assert pairs(read(text, columns=columns)) == [(id_of_url(url), url) for url in (A, COMMAS)]


def test_a_url_that_is_the_last_column_may_contain_the_delimiter() -> None:
    assert pairs(read(f"a,{COMMAS}\nb,{COMMAS}\n")) == [("a", COMMAS), ("b", COMMAS)]
    assert pairs(read(f"-,a,{COMMAS}\n", columns="-,id,url")) == [("a", COMMAS)]


def test_among_ids_and_urls_a_line_may_be_just_a_url() -> None:
    assert pairs(read(f"{A}\nb;{B}\n{COMMAS}\n")) == [(id_of_url(A), A), ("b", B), (id_of_url(COMMAS), COMMAS)]
    assert pairs(read(f'a,{A}\n"{A},b"\n')) == [("a", A), (id_of_url(f"{A},b"), f"{A},b")]
    assert pairs(read(f"id,url\na,{A}\n{COMMAS}\n")) == [("a", A), (id_of_url(COMMAS), COMMAS)]


UNCLEAR = [f"{A},photo-1", f"{A};17", f"{A}?sig=abc,photo-1", f"{A},photo-1.jpg", f"{A}, photo-1", f'{A},"photo-1"']


@pytest.mark.parametrize("line", [*UNCLEAR, f"{A}\tphoto-1", f"{A}|photo-1"])
def test_a_url_before_an_id_makes_no_job_unless_the_columns_are_given(line: str) -> None:
    with pytest.raises(UnreadableInput, match=r"line 1: .* --columns url,id\. The line begins with: https://$"):
        read(f"{line}\n")
    (row,) = read(f"{line}\n", columns="url,id")
    assert row[1] in {"photo-1", "17", "photo-1.jpg"}
    (row,) = read(f'"{A}",{line}\n' if "\t" not in line and "|" not in line else f"{A}\n", columns="url")[-1:]
    assert row[0] == "line 1"


@pytest.mark.parametrize("line", [f"{A},photo-1", f"{A}, photo-1"])
@pytest.mark.parametrize("before", [f"{B}\n", f"b,{B}\n", f"id,url\nb,{B}\n"])
def test_a_url_before_an_id_makes_no_job_among_other_rows_either(line: str, before: str) -> None:
    *_, last = read(f"{before}{line}\n")
    assert "it is not clear where the URL ends" in str(last[1])
    assert len(last) == 2


@pytest.mark.parametrize("text", [f"{A}\n{A},{B}\n", f"{A}\n{A}; {B}\n", f"a,{A}\nb,{A},{B}\n"])
def test_two_urls_in_a_line_make_no_job(text: str) -> None:
    *_, last = read(text)
    assert "it is not clear where the URL ends" in str(last[1])


@pytest.mark.parametrize("text", [f"id,url\n#1,{A}\n", f"id,name,url\n#1,a name,{A}\n", f"#1;{A}\n", f"{B}\n#1\t{A}\n"])
def test_a_row_is_not_left_out_as_a_comment(text: str) -> None:
    *_, last = read(text)
    assert "not clear whether this is a comment or a row" in str(last[1])
    assert pairs(read(f'id,url\n"#1",{A}\n')) == [("#1", A)]


def test_a_name_of_a_file_may_contain_a_comma() -> None:
    url = "https://host/Berlin,_Germany.jpg"
    assert pairs(read(f"{url}\n")) == [(id_of_url(url), url)]


@pytest.mark.parametrize("line", UNCLEAR[:4])
def test_a_whole_line_is_the_url_if_the_columns_say_so(line: str) -> None:
    assert pairs(read(f"{line}\n", columns="url")) == [(id_of_url(line), line)]


@pytest.mark.parametrize(
    ("text", "columns", "problem"),
    [
        ("Foto;Bild\na;b\n", None, "neither a URL, nor an id and a URL, nor a header .* The line is: Foto;Bild$"),
        (f"sku,url\na,{A}\n", None, r"no column of the header is the id; .* --columns url=NAME"),
        (f"id,url,imageUrl\na,{A},{A}\n", None, r"url and imageUrl may both be the URL: choose with --columns"),
        (f"id,image_id,url\na,b,{A}\n", None, r"id and image_id may both be the id: choose with --columns"),
        (f"a,{A},A title\n", None, r"--columns\. The line begins with: a,https://$"),
        (f"a,title,{A}\n", None, r"give the order with --columns"),
        (f"Foto;Bild\na;{A}\n", "id=Foto,url=Foto-URL", "the header does not have each of these columns once: Foto"),
        (f"Foto;Bild\na;{A}\n", "id,url", r"--columns says has no URL.* name its columns with --columns id=NAME,"),
        ("photo-1\nphoto-2\n", None, "The line is: photo-1$"),
        ("host/a.jpg?token=secret\n", None, r"The line begins with: host/a\.jpg\?$"),
        ("a,host/a.jpg?token=secret\n", None, r"The line begins with: a,host/a\.jpg\?$"),
        ("user:secret@host/a.jpg\n", None, "The line begins with: user:$"),
    ],
)
def test_nothing_is_read_if_it_is_not_clear_which_columns_a_file_has(
    text: str, columns: str | None, problem: str
) -> None:
    with pytest.raises(UnreadableInput, match=f"line 2: .*{problem}"):
        read(f"# a comment\n{text}", columns=columns)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("b", "the row has 1 column, not 2"),
        (",https://host/b.jpg", "image_id is empty"),
        (r"\N,https://host/b.jpg", "image_id is empty"),
        ("b,ftp://host/b.jpg", "the URL's scheme is 'ftp'"),
        ("b,www.host/b.jpg", "the URL has no scheme"),
        ("b,", "the URL has no scheme"),
        (f"b,{B},title", "it is not clear where the URL ends"),
        (f'"b"x,{B}', "the quotes cannot be read"),
        (f'"b,{B}', "a quote opens in this line and is never closed"),
        (f'"b\nc",{B}', "image_id contains a control character"),
        (f"b\udce9,{B}", "image_id is not valid Unicode"),
        (f"b,{B}\udce9", "the URL is not valid Unicode"),
        (f"b\x00,{B}", "image_id contains a null character"),
        (f"{'b' * 200_000},{B}", "a column has more than 131,072 characters"),
    ],
)
def test_a_bad_row_says_what_is_wrong_and_the_rows_around_it_are_read(row: str, problem: str) -> None:
    text = f'id,url\nfirst,"{A}"\n{row}\nlast,{B}\n'
    first, bad, last = read(text)
    assert (first[1:], last[1:]) == (("first", A), ("last", B))
    assert bad[0] == "line 3"
    assert problem in str(bad[1])
    assert last[0] == f"line {4 + row.count(chr(10))}"


def test_a_row_with_more_columns_than_the_header_says_to_quote_the_url() -> None:
    header, *_ = read("url,id\nhttps://host/w_1,h_2/a.jpg,a\n")
    assert header[1] == "the row has 3 columns, not 2: put a URL with a delimiter in quotes"


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ("id", "no column is the URL"),
        ("sku,url", "no column is the id"),
        ("id,url,url", "url and url may both be the URL"),
        ("id=a", "give url=NAME too"),
        ("id=,url=a", "give id=NAME,url=NAME"),
        ("url=a,url=b", "give id=NAME,url=NAME"),
        ("sku=a,url=b", "give id=NAME,url=NAME"),
        ("url\nid", "give the names in one line"),
    ],
)
def test_columns_that_are_not_clear_are_refused(columns: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as refused:
        Columns.parse(columns)
    assert not isinstance(refused.value, InvalidJob)
