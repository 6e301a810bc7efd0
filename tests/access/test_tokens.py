"""A token that is not quite ours is nobody's: 401 on every service, always the same answer."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from joserfc.jwk import ECKey

from routing.keys import signing_key
from tests.access.conftest import Place
from tests.access.installation import Installation, code_of
from tests.access.test_matrix import bare

pytestmark = [pytest.mark.postgres, pytest.mark.asyncio(loop_scope="session")]

SENDER = code_of("court", "sender")
# A read and a write of each service.
DOORS = (
    ("intake", "GET", "/v1/cases"),
    ("intake", "POST", "/v1/referrals"),
    ("routing", "GET", "/v1/decisions"),
    ("routing", "POST", "/v1/linkages"),
    ("mediation", "GET", "/v1/queue"),
    ("mediation", "POST", "/v1/mediators"),
    ("notification", "GET", "/v1/messages"),
    ("notification", "GET", "/v1/feeds/o-330681-ct-9001"),
)
EVERYTHING = "case:read referral:write decision:read linkage:write queue:read mediator:write"


def _claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    claims = {
        "iss": "liandiao",
        "aud": "liandiao",
        "iat": now,
        "exp": now + 900,
        "sub": f"o-{SENDER.lower()}",
        "connection": f"o-{SENDER.lower()}",
        "organisations": [SENDER],
        "scopes": f"{EVERYTHING} message:read feed:read",
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not None}


def _encoded(part: Any) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _signed(it: Installation, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A token signed by the installation's own key, header and claims as wanted."""
    key = signing_key(it.runtimes["routing"])
    head = {"alg": "ES256", "kid": key.kid, "typ": "at+jwt", **(header or {})}
    head = {name: value for name, value in head.items() if value is not None}
    return _by(key, head, _claims(**claims))


def _by(key: ECKey, header: dict[str, Any], claims: dict[str, Any]) -> str:
    signing = f"{_encoded(header)}.{_encoded(claims)}"
    der = key.get_op_key("sign").sign(signing.encode(), ec.ECDSA(hashes.SHA256()))
    r, s = utils.decode_dss_signature(der)
    return f"{signing}.{_encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _kid(it: Installation) -> str:
    return str(signing_key(it.runtimes["routing"]).kid)


def _none(it: Installation) -> str:
    return f"{_encoded({'alg': 'none', 'kid': _kid(it), 'typ': 'at+jwt'})}.{_encoded(_claims())}."


def _confused(it: Installation) -> str:
    """HS256 with the public key as the secret."""
    public = signing_key(it.runtimes["routing"]).as_pem(private=False)
    head = {"alg": "HS256", "kid": _kid(it), "typ": "at+jwt"}
    signing = f"{_encoded(head)}.{_encoded(_claims())}"
    return f"{signing}.{_encoded(hmac.new(public, signing.encode(), hashlib.sha256).digest())}"


def _foreign(it: Installation, **header: Any) -> str:
    """Signed by the key of another installation under our key's name."""
    key = ECKey.generate_key("P-256", {"kid": "other"}, private=True)
    own = {"jwk": key.as_dict(private=False)} if header.get("jwk") else {}
    return _by(key, {"alg": "ES256", "kid": _kid(it), "typ": "at+jwt", **header, **own}, _claims())


def _cut(it: Installation) -> str:
    head, claims, _ = _signed(it).split(".")
    return f"{head}.{claims}.{_encoded(bytes(64))}"


def _swapped(it: Installation) -> str:
    head, _, signature = _signed(it).split(".")
    return f"{head}.{_encoded(_claims(scopes=EVERYTHING + ' directory:write'))}.{signature}"


def _header(value: str) -> Callable[[Installation], dict[str, str]]:
    return lambda it: {"Authorization": value}


def _bearer(make: Callable[[Installation], str]) -> Callable[[Installation], dict[str, str]]:
    return lambda it: {"Authorization": f"Bearer {make(it)}"}


NOW = int(time.time())
REFUSED: dict[str, Callable[[Installation], dict[str, str]]] = {
    "no header": lambda it: {},
    "no token": _header("Bearer "),
    "another scheme": _header("Basic bzpz"),
    "garbage": _header("Bearer garbage"),
    "three dots": _header("Bearer ..."),
    "not base64": _header("Bearer $$.$$.$$"),
    "not text": lambda it: {"Authorization": b"Bearer \xff\xfe.x.y"},  # type: ignore[dict-item]
    "header is a list": _header(f"Bearer {_encoded([1])}.{_encoded({})}.{_encoded(b'x')}"),
    "alg none": _bearer(_none),
    "alg none in capitals": _bearer(lambda it: _none(it).replace("none", "nOnE")),
    "HS256 with the public key": _bearer(_confused),
    "signature of nothing": _bearer(_cut),
    "claims changed": _bearer(_swapped),
    "key of another installation": _bearer(_foreign),
    "key in the header": _bearer(lambda it: _foreign(it, jwk=True)),
    "key behind an address": _bearer(lambda it: _foreign(it, jku="http://127.0.0.1:9/jwks")),
    "no kid": _bearer(lambda it: _signed(it, {"kid": None})),
    "kid nobody has": _bearer(lambda it: _signed(it, {"kid": "nobody"})),
    "kid is a number": _bearer(lambda it: _signed(it, {"kid": 7})),
    "kid is a path": _bearer(lambda it: _signed(it, {"kid": "../../../../dev/null"})),
    "kid is an address": _bearer(lambda it: _signed(it, {"kid": "http://127.0.0.1:9/k"})),
    "kid is SQL": _bearer(lambda it: _signed(it, {"kid": "x' OR '1'='1"})),
    "kid is NUL": _bearer(lambda it: _signed(it, {"kid": "\0"})),
    "kid of a sealing key": _bearer(
        lambda it: _signed(it, {"kid": _sealing_kid(it)}),
    ),
    "another type": _bearer(lambda it: _signed(it, {"typ": "JWT"})),
    "unknown critical header": _bearer(lambda it: _signed(it, {"crit": ["x"], "x": 1})),
    "wrong audience": _bearer(lambda it: _signed(it, aud="elsewhere")),
    "audiences": _bearer(lambda it: _signed(it, aud=["elsewhere", "x"])),
    "no audience": _bearer(lambda it: _signed(it, aud=None)),
    "wrong issuer": _bearer(lambda it: _signed(it, iss="elsewhere")),
    "no issuer": _bearer(lambda it: _signed(it, iss=None)),
    "expired": _bearer(lambda it: _signed(it, exp=NOW - 1)),
    "never expires": _bearer(lambda it: _signed(it, exp=None)),
    "expires in words": _bearer(lambda it: _signed(it, exp="tomorrow")),
    "not yet valid": _bearer(lambda it: _signed(it, nbf=NOW + 600)),
    "issued tomorrow": _bearer(lambda it: _signed(it, iat=NOW + 86_400)),
    "nobody's": _bearer(lambda it: _signed(it, sub=None)),
    "sub is no text": _bearer(lambda it: _signed(it, sub=[1])),
    "revoked connection": _bearer(lambda it: _signed(it, connection="gone-ct")),
}


def _sealing_kid(it: Installation) -> str:
    keys = it.runtimes["intake"].directory.all("key")
    return next(kid for kid, value in keys.items() if value["use"] == "sealing")


def _revoke(it: Installation) -> None:
    for runtime in it.runtimes.values():
        value = {**(runtime.directory.connection("gone-ct") or {}), "active": False}
        runtime.directory.put("connection:gone-ct", 2**60, value)


async def test_the_same_token_made_well_opens_every_door(place: Place) -> None:
    for service, method, path in DOORS:
        headers = {"Authorization": f"Bearer {_signed(place.it)}"}
        answer = await place.it.call(service, method, path, {}, headers=headers)
        assert answer.status_code in (200, 422), (path, answer.text)


@pytest.mark.parametrize("case", REFUSED)
async def test_every_service_refuses_it_alike(place: Place, case: str) -> None:
    _revoke(place.it)

    for service, method, path in DOORS:
        answer = await place.it.call(service, method, path, {}, headers=REFUSED[case](place.it))
        nobody = await place.it.call(service, method, path, {}, headers={})
        assert answer.status_code == 401, (service, path, answer.text)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert bare(answer) == bare(nobody)


async def test_a_withdrawn_key_opens_nothing_from_that_moment(place: Place) -> None:
    runtime = place.it.runtimes["routing"]
    key = ECKey.generate_key("P-256", {"kid": "soon-withdrawn"}, private=True)
    value = {"use": "token", "jwk": key.as_dict(private=False)}
    runtime.directory.put("key:soon-withdrawn", 1, value)
    token = _by(key, {"alg": "ES256", "kid": "soon-withdrawn", "typ": "at+jwt"}, _claims())
    headers = {"Authorization": f"Bearer {token}"}
    before = await place.it.call("routing", "GET", "/v1/decisions", headers=headers)

    runtime.directory.put("key:soon-withdrawn", 2, None)
    after = await place.it.call("routing", "GET", "/v1/decisions", headers=headers)

    assert (before.status_code, after.status_code) == (200, 401)


async def test_names_of_keys_that_nobody_has_do_not_reach_the_database_each_time(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = place.it.runtimes["notification"]
    loads = 0
    load = runtime.directory.load

    async def counted(db: Any) -> None:
        nonlocal loads
        loads += 1
        await load(db)

    monkeypatch.setattr(runtime.directory, "load", counted)
    for number in range(50):
        token = _signed(place.it, {"kid": f"nobody-{number}"})
        headers = {"Authorization": f"Bearer {token}"}
        await place.it.call("notification", "GET", "/v1/messages", headers=headers)

    assert loads <= 3


async def test_a_receipts_secret_opens_one_case_and_ten_wrong_ones_lock_it(place: Place) -> None:
    scene, other = place.open["hotline"], place.open["police"]
    path = f"/v1/receipts/{scene.ids['number']}/tokens"
    answers = []
    for secret in [other.bodies["secret"], *(f"WRONG0000{n}" for n in range(10))]:
        answers.append(await place.it.call("intake", "POST", path, {"secret": secret}, headers={}))
    locked = await place.it.call(
        "intake", "POST", path, {"secret": scene.bodies["secret"]}, headers={}
    )
    unknown = await place.it.call(
        "intake",
        "POST",
        "/v1/receipts/LD2026-330681-9999999-8/tokens",
        {"secret": "WRONG00009"},
        headers={},
    )

    assert {answer.status_code for answer in answers[:10]} == {unknown.status_code} == {401}
    assert bare(answers[0]) == bare(unknown)
    assert locked.status_code == 429
    assert int(locked.headers["Retry-After"]) > 0
