"""Tables of grants as spreadsheets and people write them: used whole, or each line's fault named."""

from decimal import Decimal

import pytest

from tests.support.builders import CUSTOMER, rules_of
from workers.operations.manual_grant import csv_file
from workers.operations.manual_grant.csv_file import Table, read_table
from workers.operations.manual_grant.request import GrantRequestReader

HEADER = "email,meter,units,key\n"
ROW = "ada@example.com,api_usage,5,beta\n"


def read(content: str | bytes, *, create_missing: bool = False) -> Table:
    raw = content if isinstance(content, bytes) else content.encode()
    return read_table(
        raw, "many.csv", GrantRequestReader(meters=rules_of().meters, create_missing=create_missing)
    )


def faults(content: str | bytes) -> list[str]:
    return read(content).problems


@pytest.mark.parametrize(
    "content",
    [
        HEADER + ROW,
        (HEADER + ROW).encode("utf-8-sig"),
        (HEADER + ROW).replace("\n", "\r\n"),
        (HEADER + ROW).replace("\n", "\r"),
        (HEADER + ROW).rstrip("\n"),
        HEADER + "\n" + ROW + "\n,,,\n",
        'key, units ,"meter",email\nbeta,5,"api_usage", ada@example.com \n',
        f"customer_id,{HEADER}" + f",{ROW}",
        (HEADER + ROW).replace(",", ";"),
        (HEADER + ROW).replace(",", "\t"),
        (HEADER + ROW).replace(",", "\t").encode("utf-16"),
        "sep=;\r\n" + (HEADER + ROW).replace(",", ";").replace("\n", "\r\n"),
        "Email,METER,Units,Key\n" + ROW,
        HEADER.replace("\n", ",,\n") + ROW.replace("\n", ",,\n"),
        HEADER + ROW.replace("\n", ",,\n"),
        "E-Mail;Meter;Units;Key\n".replace("E-Mail", "email") + ROW.replace(",", ";"),
    ],
    ids=[
        "plain",
        "BOM",
        "CRLF",
        "CR",
        "no last line end",
        "blank lines",
        "any order",
        "columns unused",
        "semicolons",
        "tabs",
        "UTF-16",
        "sep=",
        "capitals",
        "empty columns",
        "longer rows",
        "title case",
    ],
)
def test_a_table_is_read_however_it_was_saved(content: str | bytes) -> None:
    table = read(content)
    assert table.problems == []
    (request,) = table.requests
    assert (request.customer.text, request.units, request.key) == ("ada@example.com", Decimal(5), "beta")


def test_a_quoted_cell_may_have_commas_and_each_wish_knows_its_line() -> None:
    table = read(
        HEADER.replace("key", "key,reason")
        + ROW.replace("beta", 'a,"one, two"')
        + "\n"
        + ROW.replace("beta", "b,")
    )
    assert [(request.place, request.reason) for request in table.requests] == [
        ("many.csv:2", "one, two"),
        ("many.csv:4", ""),
    ]


def test_after_a_cell_of_two_lines_the_lines_are_still_counted_right() -> None:
    header = HEADER.replace("key", "key,reason")
    assert faults(header + ROW.replace("beta", 'a,"one\ntwo"') + "x\n") == [
        "many.csv:2: control characters in reason",
        "many.csv:4: 1 columns, but the first line has 5",
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "many.csv: the file is empty; its first line must name the columns"),
        ("\n\n", "many.csv: the file is empty; its first line must name the columns"),
        (HEADER, "many.csv: there are no rows below the first line"),
        (b"email,meter\n\xe4,b\n", "many.csv:2: not UTF-8; save the file as CSV UTF-8"),
        (HEADER + 'a"b"\n"', "many.csv:3: not valid CSV: unexpected end of data"),
        ("mail,meter,units,key\n", "many.csv:1: unknown column 'mail'; did you mean 'email'?"),
        ("email,meter,units,key,email\n", "many.csv:1: column email appears more than once"),
        ("email,meter\n", "many.csv:1: missing column units, key"),
    ],
)
def test_what_keeps_a_file_from_being_used_is_told(content: str | bytes, problem: str) -> None:
    assert problem in faults(content)


def test_a_table_must_name_customers_and_an_unknown_column_is_told_what_there_is() -> None:
    assert faults("wage,meter,units,key\n") == [
        "many.csv:1: unknown column 'wage'; the columns are customer_id, external_customer_id, email, name, "
        "meter, units, key, reason",
        "many.csv:1: missing a column for the customer: customer_id, external_customer_id, email",
    ]


def test_every_bad_line_is_named() -> None:
    content = HEADER + ROW + ROW.replace("5", "1,5").replace("1,5", '"1,5"') + "x,y,1,b\n" + "a,b\n"
    assert [problem.partition(": ")[0] for problem in faults(content)] == [
        "many.csv:3", "many.csv:4", "many.csv:4", "many.csv:5",
    ]  # fmt: skip


def test_a_line_that_says_the_same_again_is_named_with_the_first() -> None:
    content = HEADER + ROW + ROW.replace("ada@", "ADA@").replace("5", "6")
    assert faults(content) == ["many.csv:3: same customer, meter and key as line 2"]


def test_one_key_may_stand_for_many_customers_and_meters() -> None:
    content = HEADER + ROW + ROW.replace("ada", "grace") + ROW.replace("api_usage", "images")
    assert len(read(content).requests) == 3


def test_a_table_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "MOST_ROWS", 2)
    rows = [ROW.replace("beta", f"k{number}") for number in range(3)]
    assert read(HEADER + rows[0] + rows[1]).problems == []
    assert faults(HEADER + "".join(rows)) == ["many.csv:4: more than 2 rows; split the file"]


def test_columns_for_who_is_to_be_created_are_taken_with_create_alone() -> None:
    content = "external_customer_id,email,name,meter,units,key\nu1,ada@example.com,Ada,images,1,k\n"
    assert read(content, create_missing=True).problems == []
    assert len(faults(content)) == 1
    assert read(content.replace("u1", CUSTOMER)).requests == []


def test_lines_are_counted_from_the_first_line_of_the_file() -> None:
    content = "sep=;\n" + HEADER.replace(",", ";") + "x;y\n"
    assert faults(content) == ["many.csv:3: 2 columns, but the first line has 4"]


@pytest.mark.parametrize(
    ("text", "units"), [("1,5", "1.5"), ("1000", "1000"), ("2.5", "2.5"), ("0,25", "0.25")]
)
def test_where_semicolons_separate_columns_a_comma_separates_decimals(text: str, units: str) -> None:
    (request,) = read((HEADER + ROW).replace(",", ";").replace("5", text)).requests
    assert request.units == Decimal(units)


@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("text", ["1.000", "12.500", "1.000.000", "999.999", "1,000"])
def test_what_could_mean_thousands_is_refused(delimiter: str, text: str) -> None:
    (fault,) = faults((HEADER + ROW).replace(",", delimiter).replace("5", f'"{text}"'))
    assert fault.startswith(f"many.csv:2: units '{text}': ")


def test_the_ledger_as_csv_can_be_granted_again_under_another_key() -> None:
    content = (
        "key,customer_id,meter,credits,status,order_id,rules,delivery,claimed_at,granted_at\n"
        f"sorry-2026,{CUSTOMER},api_usage,5,granted,,pack,msg-1,2026-11-01T00:00:00Z,2026-11-01T00:00:01Z\n"
    )
    table = read(content)
    assert table.problems == []
    (request,) = table.requests
    assert (request.key, request.units, request.customer.text) == ("sorry-2026", Decimal(5), CUSTOMER)
