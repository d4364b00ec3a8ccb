"""A DNS server on loopback with answers set by the test."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

from dnslib import AAAA, CNAME, QTYPE, RCODE, RR, TXT, A
from dnslib.server import BaseResolver, DNSServer

if TYPE_CHECKING:
    from dnslib import DNSRecord

SILENCE = "silence"  # no answer
GARBAGE = "garbage"  # an answer with the wrong id
SERVFAIL = "servfail"
REFUSED = "refused"

_FAILURES = {SERVFAIL: RCODE.SERVFAIL, REFUSED: RCODE.REFUSED}
_MAX_SILENCE_S = 30.0
_POLL_S = 0.02


class NameServer:
    """Answers queries for A and AAAA records.

    Attributes:
        asked: The number of queries for the A records of each name.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self._answers: dict[str, list[list[str]]] = {}
        self._released = threading.Event()
        # The server starts a thread for each query, so a query without an answer holds up no other.
        self._server = DNSServer(_Resolver(self), address="127.0.0.1", port=0, logger=_NullLogger())
        self.port: int = self._server.server.server_address[1]
        # Instead of `start_thread`, with which `stop` takes half a second.
        threading.Thread(target=self._server.server.serve_forever, args=(_POLL_S,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._server.stop()
        self._server.server.server_close()

    def add(self, name: str, *answers: list[str]) -> str:
        """Answer queries for `name` with `answers` in this order, then with the last one again; return the name.

        An answer is a list of addresses, `CNAME other.test`, `TXT text`, and the failures above. A failure after
        `A ` or `AAAA ` only applies to queries for that record type.
        """
        self._answers[name] = list(answers)
        return name

    def answer(self, name: str, record_type: str) -> list[str]:
        """Return the current answer. Each query for A records moves on to the next answer."""
        if record_type == "A":
            self.asked[name] += 1
        answers = self._answers.get(name)
        if answers is None:
            return []
        turn = min(max(self.asked[name] - 1, 0), len(answers) - 1)
        return answers[turn]

    def keep_silent(self) -> None:
        """Delay a query until the end of the test."""
        self._released.wait(_MAX_SILENCE_S)

    def knows(self, name: str) -> bool:
        return name in self._answers


class _Resolver(BaseResolver):
    def __init__(self, owner: NameServer) -> None:
        self._owner = owner

    def resolve(self, request: DNSRecord, _: Any) -> DNSRecord:
        name, record_type = str(request.q.qname).rstrip(".").lower(), QTYPE[request.q.qtype]
        reply = request.reply()
        answers = self._owner.answer(name, record_type)
        prefix = f"{record_type} "
        specific = [answer.removeprefix(prefix) for answer in answers if answer.startswith(prefix)]
        answers = specific or [answer for answer in answers if not answer.startswith(("A ", "AAAA "))]
        if SILENCE in answers:
            self._owner.keep_silent()
        elif GARBAGE in answers:
            reply.header.id = (reply.header.id + 1) % 65_536
        elif answers and answers[0] in _FAILURES:
            reply.header.rcode = _FAILURES[answers[0]]
        elif not self._owner.knows(name):
            reply.header.rcode = RCODE.NXDOMAIN
        else:
            for record in self._records(str(request.q.qname), answers, record_type):
                reply.add_answer(record)
        return reply

    def _records(self, name: str, answers: list[str], record_type: str) -> list[RR]:
        records = []
        for answer in answers:
            if answer.startswith("CNAME "):
                target = answer.removeprefix("CNAME ")
                records.append(RR(name, QTYPE.CNAME, rdata=CNAME(target)))
                records += self._records(target, self._owner.answer(target, ""), record_type)
            elif answer.startswith("TXT "):
                records += [RR(name, QTYPE.TXT, rdata=TXT(answer))] if record_type == "TXT" else []
            elif (":" in answer) == (record_type == "AAAA"):
                rdata = AAAA(answer) if record_type == "AAAA" else A(answer)
                records.append(RR(name, QTYPE.AAAA if record_type == "AAAA" else QTYPE.A, rdata=rdata, ttl=0))
        return records


class _NullLogger:
    """A dnslib logger that logs nothing."""

    def __getattr__(self, _: str) -> Any:
        return lambda *_: None
