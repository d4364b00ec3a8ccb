"""A DNS server on loopback whose names answer what `add` gave them, in turn."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

from dnslib import AAAA, CNAME, QTYPE, RCODE, RR, TXT, A
from dnslib.server import BaseResolver, DNSServer

if TYPE_CHECKING:
    from dnslib import DNSRecord

SILENCE = "silence"  # no answer at all
GARBAGE = "garbage"  # an answer that answers nothing
SERVFAIL = "servfail"
REFUSED = "refused"

_FAILURES = {SERVFAIL: RCODE.SERVFAIL, REFUSED: RCODE.REFUSED}
_LONGEST_SILENCE_S = 30.0


class NameServer:
    """Answers queries for A and AAAA records.

    Attributes:
        asked: How often each name was asked for its A records.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self._answers: dict[str, list[list[str]]] = {}
        self._released = threading.Event()
        # A thread for each query: some are never answered.
        self._server = DNSServer(_Resolver(self), address="127.0.0.1", port=0, logger=_Quiet())
        self.port: int = self._server.server.server_address[1]
        self._server.start_thread()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._server.stop()
        self._server.server.server_close()

    def add(self, name: str, *answers: list[str]) -> str:
        """Answer queries for `name` with each of `answers` in turn, the last for ever; return the name.

        An answer is a list of addresses, of `CNAME other.test`, of `TXT text`, or one of the failures above; `AAAA`
        before a failure makes it that of this kind of query alone.
        """
        self._answers[name] = list(answers)
        return name

    def answer(self, name: str, kind: str) -> list[str]:
        """Return the present answer, and go on to the next once both A and AAAA were asked for."""
        if kind == "A":
            self.asked[name] += 1
        answers = self._answers.get(name)
        if answers is None:
            return []
        turn = min(max(self.asked[name] - 1, 0), len(answers) - 1)
        return answers[turn]

    def keep_silent(self) -> None:
        """Hold a query until the end of the test."""
        self._released.wait(_LONGEST_SILENCE_S)

    def knows(self, name: str) -> bool:
        return name in self._answers


class _Resolver(BaseResolver):
    def __init__(self, owner: NameServer) -> None:
        self._owner = owner

    def resolve(self, request: DNSRecord, _: Any) -> DNSRecord:
        name, kind = str(request.q.qname).rstrip(".").lower(), QTYPE[request.q.qtype]
        reply = request.reply()
        answers = self._owner.answer(name, kind)
        only = [answer.removeprefix(f"{kind} ") for answer in answers if answer.startswith(f"{kind} ")]
        answers = only or [answer for answer in answers if not answer.startswith(("A ", "AAAA "))]
        if SILENCE in answers:
            self._owner.keep_silent()
        elif GARBAGE in answers:
            reply.header.id = (reply.header.id + 1) % 65_536
        elif answers and answers[0] in _FAILURES:
            reply.header.rcode = _FAILURES[answers[0]]
        elif not self._owner.knows(name):
            reply.header.rcode = RCODE.NXDOMAIN
        else:
            for record in self._records(str(request.q.qname), answers, kind):
                reply.add_answer(record)
        return reply

    def _records(self, name: str, answers: list[str], kind: str) -> list[RR]:
        records = []
        for answer in answers:
            if answer.startswith("CNAME "):
                target = answer.removeprefix("CNAME ")
                records.append(RR(name, QTYPE.CNAME, rdata=CNAME(target)))
                records += self._records(target, self._owner.answer(target, ""), kind)
            elif answer.startswith("TXT "):
                records += [RR(name, QTYPE.TXT, rdata=TXT(answer))] if kind == "TXT" else []
            elif (":" in answer) == (kind == "AAAA"):
                rdata = AAAA(answer) if kind == "AAAA" else A(answer)
                records.append(RR(name, QTYPE.AAAA if kind == "AAAA" else QTYPE.A, rdata=rdata, ttl=0))
        return records


class _Quiet:
    """A dnslib logger that logs nothing."""

    def __getattr__(self, _: str) -> Any:
        return lambda *_: None
