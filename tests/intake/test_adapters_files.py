"""Files of five formats: a broken record is one refused row, a broken file is said as a whole."""

import contextlib
import csv
import io
import json
import zipfile
from typing import Any

import pytest

from intake.adapters import xlsx
from intake.adapters.layout import shipped
from intake.adapters.reading import MAX_RECORD, rows
from intake.adapters.rows import FileError
from tests.intake.adapters import export, sample_rows, tried

WORKBOOK = (
    '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r='
    '"http://schemas.openxmlformats.org/officeDocument/2006/relationships">{more}'
    '<sheets><sheet name="s" sheetId="1" r:id="rId1"/></sheets></workbook>'
)
RELATIONS = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="rId1" Target="worksheets/sheet1.xml"/></Relationships>'
)
SHEET = (
    '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
    "<sheetData>{}</sheetData></worksheet>"
)


def workbook(sheet: str, *, more: str = "", **parts: str) -> io.BytesIO:
    """A workbook of one sheet."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", WORKBOOK.format(more=more))
        archive.writestr("xl/_rels/workbook.xml.rels", RELATIONS)
        archive.writestr("xl/worksheets/sheet1.xml", sheet)
        for name, text in parts.items():
            archive.writestr(f"xl/{name}.xml", text)
    file.seek(0)
    return file


def cells(xml: str, **parts: str) -> list[tuple[int, dict[int, Any]]]:
    return list(xlsx.sheet_rows(workbook(SHEET.format(xml), **parts), None))


def wrong(body: bytes, name: str) -> tuple[str, int | None]:
    """Rule and line of a file that cannot be read as a whole."""
    with pytest.raises(FileError) as caught:
        list(rows(io.BytesIO(body), shipped()[name]))
    return caught.value.rule, caught.value.line


def court(*changed: tuple[str, str]) -> bytes:
    text = export("court_pre_export").read_text("utf-8-sig")
    for old, new in changed:
        assert old in text
        text = text.replace(old, new, 1)
    return text.encode("utf-8-sig")


# -- csv ------------------------------------------------------------------------------------------


def test_a_file_in_another_encoding_is_refused_as_a_whole() -> None:
    body = export("court_pre_export").read_text("utf-8-sig").encode("gb18030")

    assert wrong(body, "court_pre_export") == ("file_not_decodable", None)


def test_a_decoder_of_gbk_would_have_failed_where_ours_does_not() -> None:
    with pytest.raises(UnicodeDecodeError):
        export("police_110").read_bytes().decode("gbk")
    assert len(sample_rows("police_110")) == 24


@pytest.mark.parametrize(
    ("old", "new"),
    [("承办庭室,", "承办庭室,评分,"), ("第三人,", ""), ("第三人,", "被告,"), ("案号", "案件号")],
    ids=["unknown", "missing", "repeated", "renamed"],
)
def test_heads_that_are_not_the_layouts_are_refused_as_a_whole(old: str, new: str) -> None:
    assert wrong(court((old, new)), "court_pre_export") == ("head_differs", 1)


def test_the_order_of_the_columns_does_not_matter() -> None:
    lines = list(csv.reader(export("court_pre_export").open(encoding="utf-8-sig", newline="")))
    turned = io.StringIO()
    csv.writer(turned).writerows([line[::-1] for line in lines])

    found = list(rows(io.BytesIO(turned.getvalue().encode()), shipped()["court_pre_export"]))

    assert [row.cells for row in found] == [row.cells for row in sample_rows("court_pre_export")]


def test_a_row_with_a_cell_too_many_is_refused_and_the_next_is_taken() -> None:
    first, second, *_ = tried(court(("1,（2026）", "1,0,（2026）")), "court_pre_export")

    assert (first.outcome, first.line, first.reference) == ("refused", 2, None)
    assert [each.rule for each in first.reasons] == ["cells_do_not_fit"]
    assert second.referral is not None


def test_a_quote_inside_a_quoted_field_breaks_its_row_alone() -> None:
    first, second, *_ = tried(court(("1,（2026）", '1,"（2"026）')), "court_pre_export")

    assert (first.line, [each.rule for each in first.reasons]) == (2, ["line_broken"])
    assert second.referral is not None


def test_a_quote_that_is_never_closed_refuses_the_rest_as_one_row() -> None:
    *before, last = tried(court(("22,（2026）", '22,"（2026）')), "court_pre_export")

    assert len(before) == 21
    assert (last.line, [each.rule for each in last.reasons]) == (23, ["line_broken"])


def test_columns_of_parties_with_different_numbers_of_parts_are_refused() -> None:
    found = tried(court(("19900007530、19900007441", "19900007530")), "court_pre_export")[3]

    assert found.outcome == "refused"
    assert [(each.column, each.rule) for each in found.reasons] == [
        ("被告联系电话", "parts_differ")
    ]


@pytest.mark.parametrize("body", [b"", b"\r\n\r\n"])
def test_an_empty_table_has_no_head(body: bytes) -> None:
    assert wrong(body, "court_pre_export") == ("head_missing", None)


def test_a_line_without_end_is_refused() -> None:
    assert wrong(b"x" * (MAX_RECORD + 1), "police_110")[0] == "line_too_long"


def test_a_code_outside_its_table_is_refused_and_its_members_are_not_guessed() -> None:
    found = tried(court(("民间借贷纠纷", "飞行纠纷")), "court_pre_export")[0]

    assert [(each.column, each.rule) for each in found.reasons] == [("案由", "code_unknown")]
    assert found.mapped["dispute_type"] is None
    assert found.mapped["place"] == "330681109292"


# -- json and ndjson ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b"", "file_not_json"),
        (b"[]", "file_not_json"),
        (b"{}", "file_not_json"),
        ('{"数据": {}}'.encode(), "file_not_json"),
        ('{"数据": [], "数据": []}'.encode(), "file_not_json"),
        ('{"数据": []}'.encode("gb18030"), "file_not_decodable"),
    ],
)
def test_what_is_not_one_object_with_the_list_is_refused_as_a_whole(body: bytes, rule: str) -> None:
    assert wrong(body, "hotline_12345") == (rule, None)


def test_a_record_that_is_no_object_is_one_refused_row() -> None:
    record = json.loads(export("hotline_12345").read_bytes())["数据"][0]
    body = json.dumps({"数据": [7, record]}).encode("utf-8-sig")

    broken, good = tried(body, "hotline_12345")

    assert [each.rule for each in broken.reasons] == ["line_broken"]
    assert good.outcome == "accepted"


@pytest.mark.parametrize(
    ("line", "reference"),
    [
        ('{"事件编号": "WG1", "上报时间": 1', "WG1"),
        ('{"事件编号": "WG1"', None),
        ('{"事件编号": "WG', None),
        ('{"上报时间": 1, "事件编号": "WG1", "当事人": [{"姓名', "WG1"),
        ('{"事件编号": "WG1", "事件编号": "WG2"}', "WG1"),
        ("[" * 100_000, None),
        ("7", None),
    ],
)
def test_a_broken_line_tells_its_reference_only_when_it_is_whole(
    line: str, reference: str | None
) -> None:
    good = export("grid_events").read_bytes().split(b"\n")[0]

    broken, next_one = tried(line.encode() + b"\n\n" + good, "grid_events")

    assert (broken.reference, broken.line, broken.outcome) == (reference, 1, "refused")
    assert (next_one.row, next_one.line, next_one.outcome) == (2, 3, "accepted")


# -- xml ------------------------------------------------------------------------------------------


def labour(*changed: tuple[str, str]) -> bytes:
    text = export("labour_arbitration").read_text("utf-8")
    for old, new in changed:
        assert old in text
        text = text.replace(old, new, 1)
    return text.encode()


def test_a_document_type_is_refused_before_any_entity_is_expanded() -> None:
    entities = "".join(
        f'<!ENTITY e{n} "{"".join(f"&e{n - 1};" for _ in range(10))}">' for n in range(1, 10)
    )
    bomb = f'<!DOCTYPE x [<!ENTITY e0 "样">{entities}]><调解移送批次>&e9;</调解移送批次>'

    assert wrong(bomb.encode(), "labour_arbitration")[0] == "doctype_refused"


def test_an_outside_entity_is_refused() -> None:
    body = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hosts">]><调解移送批次>&e;</调解移送批次>'

    assert wrong(body.encode(), "labour_arbitration")[0] == "doctype_refused"


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b"", "file_not_xml"),
        (b"<a>", "file_not_xml"),
        ("<别的/>".encode(), "file_not_xml"),
        (b'<?xml version="1.0" encoding="x-none"?><a/>', "file_not_xml"),
        ("<调解移送批次>".encode() + b"<a>" * 40, "nesting_too_deep"),
        ("<调解移送批次><案件 编号='".encode() + b"x" * (3 * MAX_RECORD), "line_too_long"),
        ("<调解移送批次><案件><a>".encode() + b"x" * (2 * MAX_RECORD), "line_too_long"),
    ],
)
def test_xml_that_is_broken_deep_or_endless_is_refused_as_a_whole(body: bytes, rule: str) -> None:
    assert wrong(body, "labour_arbitration")[0] == rule


def test_an_element_that_stands_twice_is_one_refused_row() -> None:
    doubled = ("<区划代码>330681108000</区划代码>", "<区划代码>1</区划代码><区划代码>2</区划代码>")

    first, second, *_ = tried(labour(doubled), "labour_arbitration")

    assert [each.rule for each in first.reasons] == ["element_repeated"]
    assert second.outcome == "accepted"


def test_an_amount_in_another_unit_is_refused() -> None:
    first = tried(labour(('单位="元"', '单位="万元"')), "labour_arbitration")[0]

    assert [(each.column, each.rule) for each in first.reasons] == [
        ("请求金额/@单位", "code_unknown")
    ]


def test_a_number_whose_kind_of_document_is_not_said_is_refused() -> None:
    first = tried(labour(("居民身份证", "")), "labour_arbitration")[0]

    assert [(each.column, each.rule) for each in first.reasons] == [
        ("申请人[]/证件类型", "cell_empty")
    ]


def test_records_before_a_break_are_given_out() -> None:
    body = labour() * 9
    given = rows(io.BytesIO(body), shipped()["labour_arbitration"])

    assert [next(given).number for _ in range(15)] == list(range(1, 16))
    with pytest.raises(FileError):
        next(given)


# -- xlsx -----------------------------------------------------------------------------------------


def test_texts_of_the_shared_table_numbers_and_errors_keep_their_kind() -> None:
    shared = (
        '<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        "<si><r><t>甲</t></r><r><t>乙</t></r><rPh><t>jia</t></rPh></si></sst>"
    )
    row = (
        '<row r="3"><c r="A3" t="s"><v>0</v></c><c r="B3"><v>7</v></c><c><v>1.5E+2</v></c>'
        '<c t="b"><v>1</v></c><c t="e"><v>#REF!</v></c><c t="s"><v>9</v></c><c t="n"/>'
        '<c t="str"><v>丙</v></c></row><row><c t="inlineStr"><is><t>丁</t></is></c></row>'
    )

    (first, found), (second, more) = cells(row, sharedStrings=shared)

    assert (first, second, more) == (3, 4, {0: "丁"})
    assert found[0] == "甲乙"
    assert (found[1], str(found[2]), found[3]) == (7, "1.5E+2", True)
    assert (found[4], found[5], found[6], found[7]) == (xlsx.ERROR, xlsx.ERROR, None, "丙")


def test_a_cell_with_an_error_refuses_its_row() -> None:
    heads = [name for name in shipped()["petition"].columns]
    head = "".join(f'<c t="inlineStr"><is><t>{name}</t></is></c>' for name in heads)
    body = workbook(
        SHEET.format(f'<row r="3">{head}</row><row><c t="e"><v>#N/A</v></c></row>')
    ).getvalue()

    (found,) = tried(body, "petition")

    assert [each.rule for each in found.reasons] == ["cell_error"]


def test_a_workbook_that_counts_from_1904_is_refused() -> None:
    with pytest.raises(FileError) as caught:
        list(xlsx.sheet_rows(workbook(SHEET, more='<workbookPr date1904="1"/>'), None))

    assert caught.value.rule == "file_uses_1904_dates"


def test_a_sheet_that_is_not_there_is_refused() -> None:
    with pytest.raises(FileError) as caught:
        list(xlsx.sheet_rows(workbook(SHEET.format("")), "别的"))

    assert caught.value.rule == "file_not_xlsx"


def test_a_workbook_that_unpacks_beyond_the_limit_is_refused() -> None:
    bomb = workbook(SHEET.format(" " * (xlsx.MAX_BYTES + 1)))

    assert len(bomb.getvalue()) < xlsx.MAX_BYTES // 500
    with pytest.raises(FileError) as caught:
        list(xlsx.sheet_rows(bomb, None))
    assert caught.value.rule == "file_too_large"


@pytest.mark.parametrize(
    ("sheet", "rule"),
    [
        ('<!DOCTYPE x [<!ENTITY e "x">]><worksheet>&e;</worksheet>', "doctype_refused"),
        (SHEET.format('<row><c r="ZZZ1"><v>1</v></c></row>'), "file_too_large"),
        ("<worksheet>", "file_not_xml"),
    ],
)
def test_a_sheet_that_is_a_bomb_or_broken_is_refused(sheet: str, rule: str) -> None:
    with pytest.raises(FileError) as caught:
        list(xlsx.sheet_rows(workbook(sheet), None))

    assert caught.value.rule == rule


def test_a_workbook_cut_off_anywhere_is_refused_as_a_whole() -> None:
    whole = export("petition").read_bytes()

    for end in range(0, len(whole), 311):
        assert wrong(whole[:end], "petition")[0] == "file_not_xlsx"


def test_a_workbook_with_any_byte_broken_ends_in_rows_or_one_error() -> None:
    whole = export("petition").read_bytes()

    for at in range(0, len(whole), 97):
        body = bytearray(whole)
        body[at] ^= 0xFF
        with contextlib.suppress(FileError):
            tried(bytes(body), "petition")
