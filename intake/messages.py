"""What each rule says to people: one sentence per code, never with a value in it.

The rules of parties, safety and rights stand in ``data/messages.json``, in Chinese and English.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Final

from services.errors import FieldError

_FILE: Final = Path(__file__).parent / "data" / "messages.json"
_CHINESE: Final = Path(__file__).parent / "data" / "messages_zh.json"
MESSAGES: Final[dict[str, str]] = {
    "required": "The member is required.",
    "type": "The member has the wrong JSON type.",
    "schema": "The member breaks the schema.",
    "format": "The text does not have the required form.",
    "not_in_list": "The value is not in the closed list.",
    "not_allowed_here": "The value is not allowed here.",
    "number_too_small": "The number is below the allowed range.",
    "number_too_large": "The number is above the allowed range.",
    "text_empty": "The text is empty.",
    "text_too_long": "The text is longer than allowed.",
    "list_too_short": "The list has too few items.",
    "list_too_long": "The list has too many items.",
    "list_repeats": "The list holds an item twice.",
    "control_character": "The text contains a control character.",
    "bidi_control": "The text contains a character that turns the reading direction round.",
    "timestamp_without_zone": "The instant has no offset from UTC; it is never guessed.",
    "timestamp_format": "An instant is written like 2026-11-16T10:00:00+08:00.",
    "day_format": "A day is written YYYY-MM-DD.",
    "date_does_not_exist": "There is no such day or time.",
    "lane_unknown": "There is no such lane.",
    "lane_not_for_source_kind": "This kind of organisation may not send in this lane.",
    "channel_unknown": "There is no such channel.",
    "dispute_type_unknown": "There is no such dispute type.",
    "dispute_subtype_unknown": "The dispute subtype is not in the list; it is kept.",
    "dispute_subtype_of_other_type": "The dispute subtype belongs to another type; it is kept.",
    "organisation_unknown": "The directory does not know this organisation.",
    "place_unknown": "The place is in no version of the division tree.",
    "place_not_in_force": "The place was not in force on the day; its successor is used to route.",
    "grid_cell_unknown": "The grid cell is not known; its village is used.",
    "claim_negative": "A claim is zero or more fen.",
    "claim_not_integer": "A claim is a whole number of fen.",
    "claim_too_large": "A claim is at most 10^15 fen.",
    "party_role_missing": "A party in a role that this lane needs is missing.",
    "consent_not_recorded": "Delegating before filing needs the applicant's consent, and none is"
    " recorded: ask it, and send the referral again under the same reference with the day of its"
    " consent; without consent the case is filed (法释〔2016〕14号 1, 11; L-03).",
    "consent_to_be_asked": "This applicant's consent is not recorded: it is asked before the"
    " mediation begins; without it the case is filed (法释〔2016〕14号 1, 11; L-03).",
    "party_ref_repeated": "Two parties have the same ref.",
    "party_ref_unknown": "No party has this ref.",
    "party_ref_format": "A member is not named by a party's ref.",
    "same_person_on_both_sides": "Applicant and respondent have the same identity number.",
    "too_many_representatives": "A group has five representatives at most.",
    "id_check_digit": "The last character of the number does not fit the others.",
    "id_date": "The date of birth inside the number is no day, or lies ahead.",
    "id_format": "The number does not have 18 (or formerly 15) digits.",
    "id_first_generation": "A first-generation number of 15 digits was kept as it is.",
    "id_region_unknown": "The region inside the number is not known.",
    "uscc_check_digit": "The last character of the credit code does not fit the others.",
    "uscc_format": "A credit code has 18 characters of GB 32100.",
    "birth_date_in_future": "A party cannot be born after the referral was received.",
    "birth_date_differs_from_id": "The birth date is not that of the identity number.",
    "gender_differs_from_id": "The gender is not that of the identity number.",
    "normalised_width": "Full-width characters were folded to half-width.",
    "unknown_field": "The member is not known; it is kept as sent.",
    "received_at_in_future": "The matter is said to have been received later than now.",
    "case_number_format": "This is no number of ours. 不是本平台的案件编号。",
    "not_whole": "It must be wholly known to be searched for. 须提供完整信息方可查询。",
    "person_needed": "A person decides this: name the member of staff in Acted-By."
    " 此事须由工作人员决定，请在 Acted-By 中写明。",
    "request_after_receipt": "The request is said to have been made after it was received.",
    "request_made_at_missing": "Without a request the sender must say that it acts by itself.",
    "range_reversed": "The end of the range is before its beginning.",
    "reference_in_use": "The organisation used this reference for another content.",
    "sealed_missing": "The sealed content is missing.",
    "sealed_broken": "The sealed content cannot be opened.",
    "sealed_too_large": "The sealed content is too large for the stream; send it by REST.",
    "sealing_key_unknown": "The sealing key is not one of ours.",
    "clear_member_differs": "The clear member does not agree with the sealed content.",
    "organisation_not_yours": "This connection does not speak for the organisation.",
    "party_unknown": "The case has no such party.",
    "pointer_unknown": "The pointer leads to no member that a correction may change.",
    "pointer_fixed": "This member never changes after registration.",
    "purpose_unknown": "The purpose is not in the closed list.",
    "lane_unchanged": "The case already runs in this lane.",
    "not_an_instant": "An instant needs a date, a time and an offset.",
    "in_future": "The instant lies ahead.",
    "kind_not_a_dispute": "这不是纠纷，已作为其他事项登记并转交。/ This is no dispute: it is"
    " registered as another matter and has gone where it belongs.",
    "about_needed": "检举控告和投诉须写明所涉机构。/ An accusation or complaint names the"
    " organisation it is about.",
    "to_the_line": "不得将材料转给被检举控告的机构或其上下级。/ It never goes to the line it is"
    " about (信访工作条例 30).",
    "adoption_needed": "对意见建议的答复须写明采纳情况。/ The answer to a suggestion says"
    " whether it is adopted.",
    "adoption_not_here": "只有意见建议有采纳情况。/ Only a suggestion is adopted or not.",
    "not_convertible": "这类事项不能转为纠纷。/ A matter of this kind becomes no dispute.",
    "same_holder": "该机构已经是承办单位。/ This organisation has it already.",
    "too_late": "补录超过规定的天数。/ The entry is later than the site allows.",
    "late_entry_reason": "补录须写明理由和第二人。/ A late entry needs a reason and a second"
    " person.",
    "second_person_same": "第二人不得是录入人本人。/ The second person is somebody else.",
    "where_needed": "须写明区划代码或者地址。/ A place code or an address is needed.",
    "letter_order": "信件先寄出、后收到、再登记。/ A letter is posted, then arrives, then is"
    " entered.",
    "mode_not_of_lane": "委派、委托与通道不符。/ The mode is not that of the lane"
    " (法释〔2016〕14号 1).",
    "classification_undetermined": "民警尚未定性：可以登记，只就民事损害调解。/ Not classified yet:"
    " registered, and mediated only on civil loss.",
    "injury_result_missing": "伤情鉴定已有结果，但未写明。/ The appraisal has a result, which"
    " is not given.",
    "filed_before_accepted": "立案不会早于受理。/ A case is not filed before it is accepted.",
    "superior_same": "上级不是来件机构自己。/ The superior is not the sender itself.",
    "place_county_desk": "地址不明确，已交县级中心。/ The address is not clear: it goes to"
    " the county.",
    "overdue_already": "期限在补录时已经届满，按迟延计。/ The period was over when it came in:"
    " it counts as late.",
    "nothing_found_or_findings": "要么写明发现，要么写明没有发现。/ Say what was found, or say that"
    " nothing was.",
    "not_a_place_of_rounds": "排查以村、乡镇、县为单位。/ A round is of a village, a township or a"
    " county.",
    "mandate_unknown": "没有本机构登记的这项代办授权。/ There is no such mandate of this"
    " organisation in the case.",
    "mandate_of_another_party": "这项代办授权不是该当事人的。/ The mandate is not that party's.",
    "mandate_revoked": "代办授权已经撤回。/ The mandate was revoked.",
    **{
        code: f"{sentence['zh']} {sentence['en']}"
        for code, sentence in json.loads(_FILE.read_text("utf-8")).items()
    },
}


@lru_cache(1)
def chinese() -> dict[str, str]:
    """Each rule's sentence in Chinese, of this module and of the adapters."""
    found: dict[str, str] = json.loads(_CHINESE.read_text(encoding="utf-8"))["rules"]
    return found


@lru_cache(1000)
def message(code: str) -> str:
    """The sentence of a rule, in Chinese and English."""
    said, zh = MESSAGES[code], chinese().get(code, "")
    return (
        said if any("\u4e00" <= sign <= "\u9fff" for sign in said[:4]) else f"{zh} {said}".strip()
    )


def fault(pointer: str, code: str) -> FieldError:
    """One fault in our words."""
    return FieldError(pointer, code, message(code))
