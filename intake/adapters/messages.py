"""What each rule of reading and converting says to people; never with a value in it.

The Chinese sentence of each stands in ``intake/data/messages_zh.json``.
"""

from typing import Final

from intake import messages as referral_messages

MESSAGES: Final[dict[str, str]] = {
    # the file as a whole
    "no_layout_fits": "No layout fits its ending, heads and first record; name one with --layout.",
    "several_layouts_fit": "Several layouts fit; name one.",
    "file_deleted": "The file was deleted before it was read to its end.",
    "file_not_decodable": "The file is not in the encoding that the layout names.",
    "file_not_json": "The file is not one JSON object with the list that the layout names.",
    "file_not_xml": "The file is not well-formed XML, or its root is not the layout's.",
    "file_not_xlsx": "The file is not a workbook that can be read.",
    "file_too_large": "The file is larger, once unpacked, than may be read.",
    "file_uses_1904_dates": "The workbook counts days from 1904; save it with the 1900 system.",
    "doctype_refused": "The XML declares a document type; entities are never expanded.",
    "nesting_too_deep": "Elements are nested deeper than 32 levels.",
    "line_too_long": "A line or record is longer than 1 MiB.",
    "head_missing": "The row with the heads is missing.",
    "head_differs": "The heads are not those of the layout: one is missing, unknown or repeated.",
    # a row as a whole
    "line_broken": "The line is cut off or broken; nothing of it is passed on.",
    "cells_do_not_fit": "The row has more or fewer cells than the head.",
    "element_repeated": "An element stands twice that the layout knows once.",
    "cell_error": "A cell holds an error of the spreadsheet.",
    "total_line": "This is a total, not a record.",
    "repeats_row": "An earlier row of the file has the same reference and the same content.",
    "row_not_understood": "The row could not be worked on; our side has noted why.",
    "cannot_be_stored": "A value of the row cannot be stored.",
    # a column
    "column_unknown": "The row has a member that the layout does not know; it is not kept.",
    "cell_empty": "The cell is empty.",
    "code_unknown": "The code is not in the layout's table.",
    "brackets_folded": "Half-width brackets became full-width ones: it is the same number.",
    "not_a_date": "This is no date of the form that the layout names.",
    "date_is_text": "The date is a text, not a day number; it was read as one.",
    "epoch_in_seconds": "The time is in seconds, not milliseconds; it was read as seconds.",
    "amount_not_a_number": "The amount is not a number of yuan; it is never guessed.",
    "amount_not_whole_fen": "The amount is not a whole number of fen.",
    "not_a_count": "This is no whole number.",
    "not_a_text": "The cell is a number where the layout expects a text.",
    "id_became_number": "A spreadsheet turned the number into a figure; its last digits are lost.",
    "party_left_out": "The row names more parties than the layout takes; the others are left out.",
    "parts_differ": "The columns of these parties do not have the same number of parts.",
    "place_not_found": "No place of the directory has this name or code.",
    "place_ambiguous": "More than one place of the directory has this name.",
    "place_county_only": "The code names the county only.",
}


def message(rule: str) -> str:
    """The sentence of a rule of this package, or of a referral's own checks, in both languages."""
    if rule not in MESSAGES:
        return referral_messages.message(rule)
    return f"{referral_messages.chinese()[rule]} {MESSAGES[rule]}"
