import json
import stat
from pathlib import Path

from notification.channels import (
    Address,
    Answer,
    FileChannel,
    Letter,
    Receipt,
    address_key,
    contact_addresses,
    is_protected,
)
from services.ids import new_id


def _a_letter() -> Letter:
    return Letter(new_id(), Address("phone", "19900001234"), "zh-CN", "通知", "正文")


async def test_a_letter_is_one_file_named_by_its_id(tmp_path: Path) -> None:
    channel, letter = FileChannel(tmp_path), _a_letter()

    receipt = await channel.send(letter)

    path = channel.path(letter.message_id)
    assert receipt.reference.endswith(f"{letter.message_id}.json")
    assert json.loads(path.read_text())["body"] == "正文"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == [path.name]


async def test_sending_twice_is_sending_once(tmp_path: Path) -> None:
    channel, letter = FileChannel(tmp_path), _a_letter()

    first = await channel.send(letter)
    again = await channel.send(letter)

    assert first == again
    assert len(list(tmp_path.rglob("*.json"))) == 1


async def test_the_channel_knows_what_it_took_and_what_not(tmp_path: Path) -> None:
    channel, letter = FileChannel(tmp_path), _a_letter()
    await channel.send(letter)

    assert isinstance(await channel.ask(letter.message_id), Receipt)
    assert await channel.ask(new_id()) is Answer.NOT_TAKEN


def test_a_phone_is_masked_and_its_hash_depends_on_the_key() -> None:
    phone = Address("phone", "19900001234")

    assert phone.masked() == "199****34"
    assert phone.hashed(b"a") != phone.hashed(b"b")
    assert "1234" not in phone.hashed(b"a" * 32)


def test_the_key_is_made_once(tmp_path: Path) -> None:
    assert address_key(tmp_path) == address_key(tmp_path)


def test_a_protected_address_gets_no_paper_and_the_text_is_neutral() -> None:
    contact = {"phone": None, "address": "样例路1号", "protected": {"address": True}}

    assert contact_addresses(contact) == []
    assert is_protected(contact)
    assert not is_protected({"protected": {"address": False}})
    assert is_protected({"protected": True})
