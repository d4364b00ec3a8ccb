"""How the search page writes the ids of images: in its address, on a tile and in the paths of the API. Run by Node."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import producer.api

_IDS = Path(producer.api.__file__).parent / "page" / "ids.js"
_PROGRAM = """
const { idOf, idText, idFrom, shownId, imagePath, sameId } = await import(process.argv[1]);
const ids = JSON.parse(process.argv[2]).map(idOf);
console.log(JSON.stringify(ids.map((id) => [id, shownId(id), imagePath(id), sameId(id, idFrom(idText(id)))])));
"""


def test_an_id_keeps_its_type_and_its_digits() -> None:
    oid, uuid, large = "65f0c0ffee65f0c0ffee65f0", "123e4567-e89b-12d3-a456-426614174000", "9007199254740993"
    names = [{"id": "5"}, {"id": "5", "type": "int"}, {"id": large, "type": "int"}]
    names += [{"id": oid, "type": "oid"}, {"id": uuid, "type": "uuid"}, {"id": "a/b"}]
    command = ["node", "--input-type=module", "-e", _PROGRAM, _IDS.as_uri(), json.dumps(names)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert json.loads(answer) == [
        ["5", "5", "v1/images/5", True],
        [{"$numberLong": "5"}, "5", "v1/images/5?type=int", True],
        [{"$numberLong": large}, large, f"v1/images/{large}?type=int", True],
        [{"$oid": oid}, oid, f"v1/images/{oid}?type=oid", True],
        [{"$uuid": uuid}, uuid, f"v1/images/{uuid}?type=uuid", True],
        ["a/b", "a/b", "v1/images/a%2Fb", True],
    ]
